"""How much a plugin in a process of its own may take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from vibro.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """Wall seconds of one call and of the import, bytes of address space and of one file, open files."""

    seconds: float = 900.0
    import_seconds: float = 10.0
    memory: int = 16 << 30
    file: int = 4 << 30
    open_files: int = 512

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The defaults, changed by VIBRO_PLUGIN_SECONDS and VIBRO_PLUGIN_MEMORY (bytes)."""
        env = os.environ if environ is None else environ
        try:
            seconds = float(env.get("VIBRO_PLUGIN_SECONDS", cls.seconds))
            memory = int(env.get("VIBRO_PLUGIN_MEMORY", cls.memory))
        except ValueError as error:
            raise ConfigError(f"VIBRO_PLUGIN_SECONDS and VIBRO_PLUGIN_MEMORY are numbers: {error}") from None
        return cls(seconds=seconds, memory=memory)
