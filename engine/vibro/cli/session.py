"""``Session``: the options that every command has, the plugin host that they ask for, and the ``--json`` result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vibro.host.manager import PluginHost


@dataclass(frozen=True)
class Session:
    """The values of the common options in one command line."""

    json: bool = False
    quiet: bool = False
    debug: bool = False
    lang: str = "en"
    registry: Path | None = None
    no_plugins: bool = False

    def host(
        self, files: Sequence[Path] = (), *, isolate_files: bool = False, allow_missing: bool = False
    ) -> PluginHost:
        """The plugin host of this command: third-party plugins run in processes of their own, warnings go to stderr."""
        from vibro.cli import console
        from vibro.runs.hosts import open_host

        return open_host(
            console.note,
            registry=self.registry,
            third_parties=not self.no_plugins,
            files=files,
            isolate_files=isolate_files,
            allow_missing=allow_missing,
        )

    def result(self, value: Mapping[str, Any] | Sequence[Any]) -> bool:
        """With ``--json`` prints the one object and returns True."""
        if self.json:
            from vibro.cli import console

            console.print_json(value)
        return self.json
