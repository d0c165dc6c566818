"""Switches a plugin in a registry overlay: one key changes, comments, order and layout stay."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from vibro.errors import ConfigError, StateError
from vibro.io.files import write_text

HEAD = "# What differs from the registry that vibro ships: switched plugins, own plugins, own ensembles.\n"


def set_enabled(path: Path, name: str, enabled: bool) -> None:
    """Sets ``plugins.NAME.enabled`` in an overlay, which is made if it is missing.

    The edited text is parsed again: StateError unless that key alone changed. ConfigError if the file is no TOML.
    """
    import tomlkit
    from tomlkit.exceptions import ParseError

    text = path.read_text(encoding="utf-8") if path.exists() else HEAD
    try:
        document: Any = tomlkit.parse(text)
        before = tomllib.loads(text)
    except (ParseError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}", hint="mend the file, then try again") from None
    plugins = document.setdefault("plugins", tomlkit.table(is_super_table=True))
    plugins.setdefault(name, tomlkit.table())["enabled"] = enabled
    changed = tomlkit.dumps(document)
    wanted = {**before, "plugins": {**before.get("plugins", {})}}
    wanted["plugins"][name] = {**wanted["plugins"].get(name, {}), "enabled": enabled}
    if tomllib.loads(changed) != wanted:
        raise StateError(f"{path} was left alone: the edit would have changed more than plugins.{name}.enabled")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, changed)
