"""The model bundle: a folder of tensors and JSON that runs no code when it is loaded and shows every changed bit.

``manifest.json`` holds the format number, the meta table of the model, and name, size and sha256 of every other file;
its own digest covers all of that, and its text is canonical, so that every change in it is detected as well. This stops
accidents, not an attacker who rewrites folder and digest together; a signature does (``vibro.store.seal``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from numpy.typing import NDArray

from vibro import __version__
from vibro.errors import ConfigError, IncompatibleModelError, StateError
from vibro.io import files, tensors
from vibro.store import seal

FORMAT = 3
NAME = "manifest.json"
SUFFIX = ".safetensors"
MAX_MANIFEST = 64 << 20  # bytes
_HINT = "take a fresh copy of the model, or fit again"


@dataclass(frozen=True)
class BundleParts:
    """What a bundle holds.

    ``meta`` is any table that JSON can hold; ``tensors`` maps names such as ``detectors/ecod`` to named numeric arrays.
    """

    meta: dict[str, Any]
    tensors: dict[str, dict[str, NDArray[Any]]]


def save(folder: Path, parts: BundleParts) -> None:
    """Writes a bundle in one step, in place of one that may lie there; equal parts give equal bytes."""
    with files.new_folder(folder, replace=True) as building:
        listed = {}
        for name, path in _file_names(parts.tensors).items():
            content = tensors.dump_tensors(parts.tensors[name])
            with files.disk_errors(folder, len(content)):
                target = building / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            listed[path] = {"name": name, "sha256": sha256(content).hexdigest(), "bytes": len(content)}
        manifest = {"format": FORMAT, "vibro": __version__, "files": listed, "meta": files.plain(parts.meta)}
        (building / NAME).write_text(_text(seal.sealed(manifest)), "utf-8")


def load(folder: Path) -> BundleParts:
    """Reads a bundle after every file was checked.

    StateError for anything damaged, missing, extra, or not a plain file; IncompatibleModelError for a newer format.
    """
    manifest = read_manifest(folder)
    listed = manifest["files"]
    _check_file_set(folder, listed)
    contents = {}
    for path, entry in listed.items():
        content = _read(folder / path, entry["bytes"])
        if len(content) != entry["bytes"] or sha256(content).hexdigest() != entry["sha256"]:
            raise StateError(f"{folder / path} is damaged", hint=_HINT)
        contents[path] = content
    loaded = {}
    for path, entry in listed.items():
        loaded[entry["name"]] = tensors.parse_tensors(contents.pop(path), path)
    return BundleParts(meta=manifest["meta"], tensors=loaded)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The checked manifest of a bundle, without its tensors: enough to compare fs, length, channels and unit."""
    path = folder / NAME
    if not folder.is_dir():
        raise StateError(f"{folder} is no model folder", hint="name a run directory or its model/ folder")
    if path.is_symlink() or not path.is_file():
        raise StateError(f"{folder} has no {NAME}", hint=_HINT)
    content = _read(path, MAX_MANIFEST)
    try:
        manifest = json.loads(content)
        text = content.decode("utf-8")
        sealed = isinstance(manifest, dict) and seal.whole(manifest) and text == _text(manifest)
    except (ValueError, TypeError, RecursionError):
        sealed = False
    if not sealed:
        raise StateError(f"{path} is damaged", hint=_HINT)
    if not isinstance(manifest.get("format"), int) or manifest["format"] != FORMAT:
        raise IncompatibleModelError(
            f"{folder} has format {manifest.get('format')!r}, written by vibro {manifest.get('vibro')}; "
            f"this vibro {__version__} reads format {FORMAT}",
            hint="use the vibro that wrote it, or fit again",
        )
    _check_entries(path, manifest)
    seal.check_signature(manifest, path)
    return dict(manifest)


def _file_names(parts: Mapping[str, Any]) -> dict[str, str]:
    """``{name: path}``; characters that are not safe in file names are percent-encoded."""
    names = {}
    for name in sorted(parts):
        segments = [quote(part, safe="") for part in name.split("/")]
        segments = ["%2E" + part[1:] if part.startswith(".") else part for part in segments]
        names[name] = "/".join(segments) + SUFFIX
    if len({path.casefold() for path in names.values()}) != len(names) or any("" in name.split("/") for name in parts):
        raise ConfigError(f"names of a model's parts clash or are empty: {', '.join(sorted(parts))}")
    return names


def _text(manifest: Mapping[str, Any]) -> str:
    """The canonical text of a manifest."""
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def _check_entries(path: Path, manifest: Mapping[str, Any]) -> None:
    """StateError unless every listed file has a valid name, a size and a hash."""
    listed, meta = manifest.get("files"), manifest.get("meta")
    sane = isinstance(listed, dict) and isinstance(meta, dict)
    for name, entry in listed.items() if isinstance(listed, dict) else ():
        sane = (
            sane
            and isinstance(entry, dict)
            and isinstance(entry.get("name"), str)
            and type(entry.get("bytes")) is int
            and entry["bytes"] >= 0
            and isinstance(entry.get("sha256"), str)
            and _file_names({entry["name"]: None}) == {entry["name"]: name}
        )
    if not sane:
        raise StateError(f"{path} is damaged: its list of files is invalid", hint=_HINT)


def _check_file_set(folder: Path, listed: Mapping[str, Any]) -> None:
    """StateError unless the folder holds exactly the listed files, all of them plain."""
    found = set()
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise StateError(f"{folder}: {relative} is not a plain file", hint=_HINT)
            if path.is_file():
                found.add(relative)
            elif not any(other.startswith(relative + "/") for other in listed):
                raise StateError(f"{folder}: {relative} is extra", hint=_HINT)
    wanted = {NAME, *listed}
    problems = [f"{name} is missing" for name in sorted(wanted - found)]
    problems += [f"{name} is extra" for name in sorted(found - wanted)]
    if problems:
        raise StateError(f"{folder}: {'; '.join(problems)}", hint=_HINT)


def _read(path: Path, limit: int) -> bytes:
    """At most ``limit`` + 1 bytes of a file."""
    try:
        with path.open("rb") as handle:
            return handle.read(limit + 1)
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from None
