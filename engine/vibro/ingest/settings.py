"""``vibro.toml`` beside the data: how its files are read, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from vibro.errors import ConfigError
from vibro.ingest.files import SETTINGS
from vibro.ingest.options import IngestOptions, repair_length, samples_of

TABLE = "read"
RUN = "run"  # what `vibro run` does where the user works; reading takes no notice of it
_LARGEST = 64 << 10  # bytes
_NUMBERS = ("fs", "resample")
_TEXTS = ("unit", "encoding", "sensor_from", "machine_from", "time_from", "tz")
_SPANS = ("window", "hop")
_LISTS = ("channels", "states")
KEYS = (*_NUMBERS, "length", *_TEXTS, *_SPANS, *_LISTS, "columns", "repair")


def with_settings(paths: Sequence[Path], options: IngestOptions) -> tuple[IngestOptions, str]:
    """The options with what a ``vibro.toml`` beside the data adds, and a note on it; what the command says wins.

    ConfigError where the file cannot be read as settings of reading, or where two files beside the data disagree.
    """
    found = {path: read_settings(path) for path in _beside(paths)}
    if not found:
        return options, ""
    (path, table), *others = found.items()
    for other, differs in others:
        if differs != table:
            raise ConfigError(f"{path} and {other} say different things", hint="read the folders one by one")
    blank = IngestOptions()
    given = {f.name for f in fields(options) if getattr(options, f.name) != getattr(blank, f.name)}
    added = {name: value for name, value in table.items() if name not in given}
    told = ", ".join(name for name in KEYS if name in added)
    return replace(options, **added), f"{path} says how the data are read: {told}" if told else ""


def taken_along(options: IngestOptions, fs: float) -> dict[str, Any]:
    """The options of a fit that new data are read with: patterns of channels, sampling rate, and cuts in samples."""
    spans = {name: getattr(options, name) for name in _SPANS}
    return {
        "channel_patterns": list(options.channels),
        "resample": options.resample,
        **{name: None if text is None else samples_of(text, fs, f"--{name}") for name, text in spans.items()},
    }


def as_for_model(paths: Sequence[Path], options: IngestOptions, schema: Mapping[str, Any]) -> tuple[IngestOptions, str]:
    """The options with those that the model was fitted with where neither the command nor a ``vibro.toml`` says any."""
    given = with_settings(paths, options)[0]
    added: dict[str, Any] = {}
    if schema.get("channel_patterns") and not given.channels:
        added["channels"] = tuple(schema["channel_patterns"])
    if schema.get("resample") and not given.resample:
        added["resample"] = schema["resample"]
    if given.window is None:
        added |= {name: str(schema[name]) for name in _SPANS if schema.get(name)}
    prefer = {f"prefer_{name}": schema[name] for name in ("fs", "unit", "length", "channels")}
    words = (f"--{name} {','.join(value) if name == 'channels' else value}" for name, value in added.items())
    told = f"read as the data of the model were: {' '.join(words)}" if added else ""
    return replace(options, **added, **prefer), told


def read_settings(path: Path) -> dict[str, Any]:
    """The table ``[read]`` of a file as options; ConfigError, with the reason, for anything else in it but ``[run]``."""
    whole = tables_of(path)
    foreign = sorted(set(whole) - {TABLE, RUN})
    if foreign:
        raise ConfigError(
            f"{path} holds {foreign[0]!r}; a file beside data says how to read them in [{TABLE}], and nothing else",
            hint="plugins, commands, paths and addresses are given on the command line",
        )
    table = whole.get(TABLE, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path}: {TABLE} is no table", hint=f"[{TABLE}]")
    return {name: _value(path, name, value) for name, value in table.items()}


def tables_of(path: Path) -> dict[str, Any]:
    """All that a ``vibro.toml`` holds; ConfigError if it cannot be read."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path} is no plain file of at most {_LARGEST >> 10} KiB", hint="move it away")
        return dict(tomlkit.parse(path.read_text(encoding="utf-8-sig")).unwrap())
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply", hint="mend the file or move it away") from None
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="mend the file or move it away") from None


def _value(path: Path, name: str, value: Any) -> Any:
    """The value of a key as the option has it; ConfigError where it is of another kind."""
    if name not in KEYS:
        raise ConfigError(f"{path}: [{TABLE}] has no key {name!r}", hint=f"keys: {', '.join(KEYS)}")
    if name in _NUMBERS and type(value) in (int, float):
        return float(value)
    if name == "length" and type(value) is int:
        return value
    if name in _SPANS and type(value) in (int, str):
        return str(value)
    if name == "repair" and isinstance(value, str):
        return repair_length(value)
    if name in _TEXTS and isinstance(value, str):
        return value
    if name in _LISTS and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if name == "columns" and isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return dict(value)
    raise ConfigError(
        f"{path}: {name} is {str(value)[:40]!r}", hint="vibro data describe DATA -o vibro.toml writes one"
    )


def _beside(paths: Sequence[Path]) -> list[Path]:
    """The files of that name in the folders named, and beside the files named."""
    folders = [path if path.is_dir() else path.parent for path in map(Path, paths)]
    places = dict.fromkeys(Path(os.path.abspath(folder)) / SETTINGS for folder in folders)  # noqa: PTH100
    return [path for path in places if os.path.lexists(path)]


def settings_text(table: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """The text of a ``vibro.toml`` with these keys, each with its comment; keys that only have a comment are commented out."""
    import tomlkit

    lines = ["# How vibro reads the files of this folder. What a command says wins over it.", f"[{TABLE}]"]
    for name in KEYS:
        if name in table:
            value = tomlkit.item(dict(table[name]) if isinstance(table[name], Mapping) else table[name])
            if isinstance(table[name], Mapping):
                inline = tomlkit.inline_table()
                inline.update(table[name])
                value = inline
            lines.append(f"{name} = {value.as_string()}" + (f"  # {comments[name]}" if name in comments else ""))
        elif name in comments:
            lines.append(f"# {name}: {comments[name]}")
    return "\n".join(lines) + "\n"
