"""Plugins in processes of their own: nothing of them is imported here, their results come back as arrays.

``load_isolated(plugin, module)`` gives an object with the plugin's hooks; what it registers are stand-in classes that
work through the plugin's process. Isolation protects results, not secrets: a plugin runs with its user's rights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vibro.host.isolation.limits import Limits


def load_isolated(
    plugin: str, module: str, *, file: Path | None = None, limits: Limits | None = None, cache: Path | None = None
) -> Any:
    """Hook implementations that register a stand-in for each component of a plugin.

    The plugin is probed in its own process (``cache``: folder where the answer is kept by the hash of its files).
    PluginLoadError if its import raises or ends the process, PluginTimeoutError if it takes too long.
    """
    from vibro.host.isolation.probe import probe
    from vibro.host.isolation.proxy import hooks, stand_ins

    return hooks(stand_ins(probe(plugin, module, file=file, limits=limits, cache=cache)))
