"""PluginHost: finds plugins, loads each one separately so that a broken one harms no other, and lists their components."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pluggy

from vibro import hookspecs
from vibro.api import Component
from vibro.errors import DuplicateComponentError, PluginLoadError, PluginTimeoutError, UnknownComponentError, VibroError
from vibro.events import Event
from vibro.host.contract import require_component
from vibro.host.discovery import PluginInfo, import_file, installed, registered
from vibro.host.registry import Registry, read_registry

REGISTER_HOOKS = {
    "reader": "register_readers",
    "feature": "register_features",
    "detector": "register_detectors",
    "fuser": "register_fusers",
    "thresholder": "register_thresholders",
    "classifier": "register_classifiers",
    "metric": "register_metrics",
}


def _mute(line: str) -> None:
    """Default log: drops the line."""


@dataclass
class PluginHost:
    """The table of plugins and components of one run; make one with ``create``, there is no global."""

    registry: Registry
    strict: bool = False
    trace: bool = False
    log: Callable[[str], None] = _mute
    isolate: Callable[[str, str, Path | None], Any] | None = None
    plugins: dict[str, PluginInfo] = field(default_factory=dict)
    _manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager("vibro"))
    _loaded: dict[str, list[type[Component]]] = field(default_factory=dict)
    _components: dict[tuple[str, str], str] = field(default_factory=dict)  # (kind, name) -> plugin

    @classmethod
    def create(
        cls,
        *,
        overlay: Path | None = None,
        autoload: bool = True,
        files: Sequence[Path] = (),
        environ: dict[str, str] | None = None,
        log: Callable[[str], None] = _mute,
        isolate: Callable[[str, str, Path | None], Any] | None = None,
        isolate_files: bool = False,
        allow_missing: bool = False,
    ) -> PluginHost:
        """Finds plugins without importing any bundled one.

        ``autoload`` off leaves out installed distributions (`--no-plugins`). Of ``environ`` it reads VIBRO_PLUGINS
        (allow-list of third parties, empty = none), VIBRO_STRICT_PLUGINS=1 and VIBRO_TRACE_PLUGINS=1. ``isolate(name,
        module, file)`` gives stand-ins for plugins that are not trusted; without it everything runs in this process.
        Local ``files`` are trusted unless ``isolate_files``; with ``allow_missing`` one that fails to load is left out.
        """
        env = dict(os.environ) if environ is None else environ
        host = cls(
            read_registry(overlay),
            strict=env.get("VIBRO_STRICT_PLUGINS") == "1",
            trace=env.get("VIBRO_TRACE_PLUGINS") == "1",
            log=log,
            isolate=isolate,
        )
        host._manager.add_hookspecs(hookspecs)
        allowed = env.get("VIBRO_PLUGINS")
        allow = None if allowed is None else {name.strip() for name in allowed.split(",") if name.strip()}
        for info in registered(host.registry, allow if autoload else set()):
            host._add(info)
        for info in installed(host.registry, allow) if autoload else ():
            host._add(info)
        for path in files:
            try:
                host._add_file(path, trusted=not isolate_files)
            except (PluginLoadError, PluginTimeoutError) as error:
                if not allow_missing or path.stem not in host.plugins:
                    raise
                host._broken(path.stem, error.message)
                host.log(f"warning: {error.message} ({path.stem} is left out)")
        return host

    # --- the table ----------------------------------------------------------------------------------------------------

    def _add_file(self, path: Path, *, trusted: bool) -> None:
        if not path.is_file():
            raise PluginLoadError(f"no such plugin file: {path}", plugin=path.stem)
        name = path.stem
        if name in self.plugins:
            raise DuplicateComponentError(
                f"the plugin file {path} has the name of {self._who(name)}", plugin=name, hint="rename the file"
            )
        module_name = f"vibro_local_{name}"
        self.plugins[name] = PluginInfo(name, module_name, "file", trusted=trusted)
        if not trusted and self.isolate is not None:
            self._register(name, self.isolate(name, module_name, path))
            return
        try:
            import_file(path, module_name)
        except (Exception, SystemExit) as error:
            raise PluginLoadError(f"plugin file {path.name}: {_said(error)}", plugin=name) from error
        self.load(name)

    def _add(self, info: PluginInfo) -> None:
        if info.name in self.plugins:
            first = self._who(info.name)
            shadow = f"{info.name} ({info.distribution or info.origin})"
            self.log(f"plugin {shadow} is shadowed by {first}")
            self.plugins[shadow] = replace(info, name=shadow, state="shadowed", reason=f"the name is taken by {first}")
            return
        self.plugins[info.name] = info
        if info.state == "on":
            for item in info.provides:
                kind, _, name = item.partition(":")
                self._claim(kind, name, info.name)

    def register_module(self, name: str, module: Any) -> list[type[Component]]:
        """Loads an object that holds hook implementations, as a plugin of that name (tests, notebooks)."""
        self.plugins[name] = PluginInfo(name, getattr(module, "__name__", name), "file", trusted=True)
        return self._register(name, module)

    # --- loading ------------------------------------------------------------------------------------------------------

    def load(self, name: str) -> list[type[Component]]:
        """Imports one plugin and returns its components; PluginLoadError with the reason if that fails."""
        if name in self._loaded:
            return self._loaded[name]
        info = self.plugins.get(name)
        if info is None:
            raise UnknownComponentError(f"no plugin named {name!r}", hint="vibro plugins list")
        if info.state == "off":
            raise PluginLoadError(
                f"plugin {name} is off: {info.reason}", plugin=name, hint=f"vibro plugins enable {name}"
            )
        if info.state != "on":
            raise PluginLoadError(
                f"plugin {name} is {info.state}: {info.reason}", plugin=name, hint="vibro plugins list"
            )
        try:
            module_name = info.module.partition(":")[0]
            if info.trusted or self.isolate is None:
                module = importlib.import_module(module_name)
            else:
                module = self.isolate(name, module_name, None)
        except (Exception, SystemExit) as error:
            raise self._broken(name, _said(error)) from error
        return self._register(name, module)

    def _register(self, name: str, module: Any) -> list[type[Component]]:
        found: list[type[Component]] = []
        try:
            self._manager.register(module, name=name)
            self._manager.check_pending()
            for kind, hook_name in REGISTER_HOOKS.items():
                hook = getattr(self._manager.hook, hook_name)
                for impl in hook.get_hookimpls():
                    if impl.plugin_name != name:
                        continue
                    if impl.hookwrapper or impl.wrapper:
                        raise PluginLoadError(f"{hook_name} may not be a wrapper", plugin=name)
                    if self.trace:
                        self.log(f"hook {hook_name} of plugin {name}")

                    def register(cls: type[Component], kind: str = kind) -> None:
                        require_component(cls, kind, name)
                        self._claim(kind, cls.name, name)
                        found.append(cls)

                    impl.function(*[register for _ in impl.argnames])
        except (Exception, SystemExit) as error:
            self._manager.unregister(name=name) if self._manager.has_plugin(name) else None
            self._manager.set_blocked(name)
            for key in [key for key, owner in self._components.items() if owner == name]:
                del self._components[key]
            if isinstance(error, DuplicateComponentError):
                self.plugins[name] = replace(self.plugins[name], state="broken", reason=str(error))
                raise
            raise self._broken(name, _said(error)) from error
        self._loaded[name] = found
        provides = tuple(f"{cls.kind}:{cls.name}" for cls in found)
        self.plugins[name] = replace(self.plugins[name], provides=self.plugins[name].provides or provides)
        return found

    def _claim(self, kind: str, name: str, plugin: str) -> None:
        owner = self._components.setdefault((kind, name), plugin)
        if owner != plugin:
            raise DuplicateComponentError(
                f"{kind} {name!r} is offered by {self._who(owner)} and by {self._who(plugin)}",
                plugin=plugin,
                hint=f"vibro plugins disable {plugin}",
            )

    def _broken(self, name: str, reason: str) -> PluginLoadError:
        self.plugins[name] = replace(self.plugins[name], state="broken", reason=reason)
        return PluginLoadError(
            f"plugin {self._who(name)} failed to load: {reason}", plugin=name, hint=f"vibro plugins disable {name}"
        )

    def _who(self, name: str) -> str:
        info = self.plugins[name]
        return f"{name} ({' '.join(part for part in (info.distribution or info.origin, info.version) if part)})"

    # --- components ---------------------------------------------------------------------------------------------------

    def load_third_parties(self) -> None:
        """Loads every plugin that is on and not bundled; a broken one is logged and left out, or fatal when strict."""
        for info in list(self.plugins.values()):
            if info.origin in ("bundled", "file") or info.state != "on" or info.name in self._loaded:
                continue
            try:
                self.load(info.name)
            except VibroError as error:
                if self.strict:
                    raise
                self.log(f"warning: {error} (left out; {error.hint})")

    def names(self, kind: str) -> list[str]:
        """Names of the components of a kind that enabled plugins offer, sorted."""
        self.load_third_parties()
        return sorted(name for k, name in self._components if k == kind)

    def component(self, kind: str, name: str) -> type[Component]:
        """The class of a component; only its own plugin is imported."""
        if (kind, name) not in self._components:
            self.load_third_parties()
        plugin = self._components.get((kind, name))
        if plugin is None:
            raise self._unknown(kind, name)
        for cls in self.load(plugin):
            if (cls.kind, cls.name) == (kind, name):
                return cls
        raise PluginLoadError(
            f"plugin {self._who(plugin)} promises {kind} {name!r} but does not register it", plugin=plugin
        )

    def components(self, kind: str) -> list[type[Component]]:
        """Every class of a kind, sorted by name."""
        return [self.component(kind, name) for name in self.names(kind)]

    def owner(self, kind: str, name: str) -> PluginInfo:
        """The plugin that offers a component."""
        return self.plugins[self._components[kind, name]]

    def _unknown(self, kind: str, name: str) -> VibroError:
        known = self.names(kind)
        for info in self.plugins.values():
            if f"{kind}:{name}" in info.provides:
                return PluginLoadError(
                    f"{kind} {name!r} belongs to plugin {info.name}, which is {info.state}: {info.reason}",
                    plugin=info.name,
                    hint=f"vibro plugins enable {info.name}" if info.state == "off" else "vibro plugins list",
                )
        near = get_close_matches(name, known, 1)
        broken = [f"{info.name}: {info.reason}" for info in self.plugins.values() if info.state == "broken"]
        hint = f"did you mean {near[0]}?" if near else "vibro plugins list"
        if broken:
            hint += f" (broken plugins: {'; '.join(broken)})"
        return UnknownComponentError(f"no {kind} named {name!r} (known: {', '.join(known) or 'none'})", hint=hint)

    # --- observation --------------------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Hands an event to every observer; one that raises is logged and dropped."""
        for impl in list(self._manager.hook.on_event.get_hookimpls()):
            try:
                impl.function(*[event for _ in impl.argnames])
            except Exception as error:  # an observer can never end a run
                self.log(f"warning: observer {impl.plugin_name} failed and was dropped: {_said(error)}")
                self._manager.unregister(name=impl.plugin_name)

    def observe(self, observer: object, name: str) -> None:
        """Adds an object with an ``on_event`` hook implementation."""
        self._manager.register(observer, name=name)


def _said(error: BaseException) -> str:
    """Class and message of an error in one line; also if ``__str__`` raises."""
    if isinstance(error, VibroError):
        return error.message
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its message cannot be shown)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
