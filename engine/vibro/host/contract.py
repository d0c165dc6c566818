"""What a class must be to be registered as a component."""

from __future__ import annotations

import importlib.util

from vibro.api import API_VERSION, KINDS
from vibro.errors import PluginLoadError


def require_component(cls: object, kind: str, plugin: str) -> None:
    """PluginLoadError where a class that ``plugin`` registers cannot be a component of this kind."""
    base = KINDS[kind]
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PluginLoadError(f"register_{kind}s got {cls!r}, which is no {base.__name__}", plugin=plugin)
    if not (cls.name and cls.name == cls.name.lower() and cls.name.isidentifier()):
        raise PluginLoadError(f"{cls.__name__}.name is {cls.name!r}, not a snake_case name", plugin=plugin)
    if cls.api != API_VERSION:
        raise PluginLoadError(
            f"{kind} {cls.name} was written for contract version {cls.api}, this vibro has {API_VERSION}",
            plugin=plugin,
        )
    missing = [module for module in cls.requires if importlib.util.find_spec(module) is None]
    if missing:
        raise PluginLoadError(
            f"{kind} {cls.name} needs {missing[0]}, which is not installed",
            plugin=plugin,
            hint=f"pip install {missing[0]}",
        )
