"""``manifest.json``: everything needed to repeat a run and to verify its files."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from vibro import __version__
from vibro.errors import ConfigError, ContractError, IncompatibleModelError, LockedError, StateError
from vibro.io import files
from vibro.store import seal
from vibro.store.index import SCORES
from vibro.store.lock import holder, in_use
from vibro.store.place import INTERNAL, PUBLIC
from vibro.store.stages import describe

SCHEMA = 1
NAME = "manifest.json"
MODEL = "model"
LARGEST = 256 << 20  # bytes of a manifest
STATUSES = ("complete", "failed", "interrupted")
KEYS = (
    "command",
    "started",
    "finished",
    "status",
    "seed",
    "device",
    "executor",
    "deterministic",
    "settings",
    "ensemble",
    "registry",
    "plugins",
    "data",
    "fingerprint",
    "rows",
    "decisions",
    "supervised",
    "failures",
    "timings",
)
LIBRARIES = (
    "numpy",
    "scipy",
    "torch",
    "pyod",
    "scikit-learn",
    "PyWavelets",
    "numba",
    "pyarrow",
    "safetensors",
    "pluggy",
    "pydantic",
)


def build(folder: Path, *, gpu: str | None = None, **parts: Any) -> dict[str, Any]:
    """The manifest of a run directory whose other files are all written.

    ``parts`` are those of ``KEYS`` that the caller knows; schema, versions, machine and the hashes of the
    files are filled in here. Of the internal files (stages, lock) the stored scores alone are listed: commands use them.
    """
    unknown = sorted(set(parts) - set(KEYS))
    if unknown or parts.get("status") not in STATUSES:
        raise ContractError(f"manifest: unknown keys {unknown}, status {parts.get('status')!r}")
    manifest: dict[str, Any] = {"schema": SCHEMA, "vibro": __version__}
    manifest |= {key: parts[key] for key in KEYS if key in parts}
    manifest |= {"libraries": libraries(), "machine": machine(gpu), "files": run_files(folder)}
    plain: dict[str, Any] = files.plain(manifest)
    return plain


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes ``manifest.json`` of a folder with its seal, atomically; it is the last file of a run."""
    files.write_text(folder / NAME, files.to_json(seal.sealed(files.plain(manifest))))


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a run directory.

    StateError if it is missing or damaged, IncompatibleModelError if it is newer, ConfigError for the one of a model,
    LockedError while the first run in the folder is at work.
    """
    path = folder / NAME
    if not path.exists() and in_use(folder):
        raise LockedError(f"a run is at work in {folder}: {holder(folder)}", hint="wait until it has ended")
    if path.exists() and (not path.is_file() or path.stat().st_size > LARGEST):
        raise StateError(f"{path} is damaged: it is no plain file of at most {LARGEST >> 20} MiB")
    try:
        content = path.read_bytes()
        manifest = json.loads(content)
    except FileNotFoundError:
        raise StateError(f"{folder} has no {NAME}", hint="the run did not end; --resume goes on with it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StateError(f"{path} is damaged: {error}") from None
    if isinstance(manifest, dict) and "format" in manifest and "schema" not in manifest:
        run = folder.absolute().parent
        within = folder.name == MODEL and (run / NAME).is_file()
        raise ConfigError(
            f"{folder} is a model, not a run directory",
            hint=f"name its run: {run}" if within else f"vibro score {folder} DATA -o RUN makes a run with it",
        )
    if not isinstance(manifest, dict) or not isinstance(manifest.get("schema"), int):
        raise StateError(f"{path} is damaged: it has no schema number")
    if manifest["schema"] > SCHEMA:
        raise IncompatibleModelError(
            f"{path} was written by a newer vibro (schema {manifest['schema']})", hint="upgrade vibro"
        )
    text = files.to_json(manifest).encode("utf-8", "backslashreplace")
    if "digest" not in manifest or text != content or not seal.whole(manifest):
        raise StateError(
            f"{path} is damaged, or was written by an earlier version", hint="run the ensemble or score again"
        )
    seal.check_signature(manifest, path)
    return manifest


def read_complete(folder: Path) -> dict[str, Any]:
    """The same of a run that ended; StateError for one that failed or was interrupted."""
    manifest = read(folder)
    if (status := manifest.get("status")) != "complete":
        raise StateError(f"{folder} holds a run that is {status}", hint="its command with --resume goes on with it")
    return manifest


def refresh(folder: Path, manifest: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The manifest with the hashes of these files as they are now; one that is gone is taken out."""
    known = dict(manifest.get("files", {}))
    for name in names:
        path = folder / name
        if path.is_file():
            sha, size = files.digest(path)
            known[name] = {"sha256": sha, "bytes": size}
        else:
            known.pop(name, None)
    return {**manifest, "files": dict(sorted(known.items()))}


def with_decision(manifest: Mapping[str, Any], decision: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with one more entry ``{time, method, budget, cuts}`` under ``decisions``."""
    return {**manifest, "decisions": [*manifest.get("decisions", []), files.plain(decision)]}


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of a complete run after a check of every file; StateError names each that is damaged, missing, extra.

    Other files that the user put into the folder are ignored.
    """
    manifest = read_complete(folder)
    wanted = manifest.get("files")
    if not isinstance(wanted, dict):
        raise StateError(f"{folder / NAME} is damaged: it lists no files")
    found = run_files(folder)
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is damaged" for name in wanted if name in found and wanted[name] != found[name]]
    problems += [f"{name} is extra" for name in found if name not in wanted]
    if problems:
        raise StateError(f"{folder}: {'; '.join(sorted(problems))}", hint="run the ensemble or score again")
    return manifest


def run_files(folder: Path) -> dict[str, dict[str, object]]:
    """``{path: {sha256, bytes}}`` of the public files of a run directory but for the manifest itself, and of its scores."""
    foreign = {path.name for path in folder.iterdir() if path.name not in PUBLIC}
    found = describe(folder, skip=frozenset(foreign | INTERNAL | {NAME}))
    if (folder / SCORES).is_file():
        sha, size = files.digest(folder / SCORES)
        found[SCORES] = {"sha256": sha, "bytes": size}
    return found


def libraries() -> dict[str, str]:
    """Versions of Python and the libraries that can change a score; one that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine(gpu: str | None = None) -> dict[str, Any]:
    """System, processor, usable cores and GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"system": f"{platform.system()} {platform.release()}", "cpu": _cpu(), "cores": cores, "gpu": gpu}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def typed_path(settings: Mapping[str, Any], text: str) -> Path:
    """A path of a run's settings, which are as they were typed: from the folder of then, or, where it is not there, from here."""
    then = Path(settings.get("folder", ""), text)
    return then if then.exists() else Path(text)
