"""A task and its result as files of a folder that two machines see: JSON and .npy, never a pickle."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Lock
from typing import Any

import numpy as np

from vibro import __version__, errors
from vibro.api import Component, check_settings, settings_of
from vibro.context import Context
from vibro.core.task import ArrayRef, DetectorResult, FitTask, ScoreTask
from vibro.core.view_key import library_versions
from vibro.core.view_work import ViewTask, view_task
from vibro.core.worker import fit_task, score_task
from vibro.errors import ResourceError, VibroError
from vibro.host.isolation.codec import decode, encode
from vibro.host.isolation.limits import Limits
from vibro.host.isolation.modules import find_module
from vibro.host.isolation.proxy import Remote, Source, stand_ins

WORK: Mapping[str, tuple[Callable[[Any], Any], type]] = {
    "fit": (fit_task, FitTask),
    "score": (score_task, ScoreTask),
    "view": (view_task, ViewTask),
}
TASK, RESULT, VALUE = "task.json", "result", "value.json"
SLOW = 5.0  # seconds that a network file system may take to show a new file
SHARED = "-o names a folder that all machines see under the same path"
_ONE_AT_A_TIME = Lock()  # detectors may use what a process has only once, such as torch's global generator


def write_task(work: Callable[[Any], Any], task: FitTask | ScoreTask | ViewTask) -> Path:
    """The folder with what ``perform`` needs, beside the array that the task reads, which is named by its path."""
    array = next(iter(task.inputs.values())) if isinstance(task, ViewTask) else task.x
    assert array.path is not None  # tasks of another process read files
    folder = Path(mkdtemp(prefix="task-", dir=array.path.parent))
    name = next(name for name, (known, _) in WORK.items() if known is work)
    table = {f.name: getattr(task, f.name) for f in fields(task)}
    table |= {"cls": _class_told(task.cls), "params": settings_of(task.params), "ctx": _context_told(task.ctx)}
    tree = encode({"work": name, **{key: _located(value) for key, value in table.items()}}, folder)
    (folder / TASK).write_text(json.dumps(tree))
    return folder


def versions_here() -> str:
    """Of what results depend on; workers need the same."""
    return f"vibro {__version__}, {library_versions()}"


def perform(folder: str, versions: str) -> tuple[str, str]:
    """Does the task of a folder and leaves its result there, unless it is there already.

    Gives a reason and what to do about it where this process cannot: other versions than ``versions``, or no such folder.
    """
    if versions_here() != versions:
        return f"a Dask worker has {versions_here()}, but the run {versions}", "install the same versions there"
    place = Path(folder)
    if not _shown(place / TASK):
        return f"a Dask worker does not see {place.parent}", SHARED
    with _ONE_AT_A_TIME:
        if not (place / RESULT).exists():
            part = Path(mkdtemp(prefix="part-", dir=place))
            try:
                work, task = _read_task(place)
                value: dict[str, Any] = {"value": _told(work(task))}
            except VibroError as error:
                value = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
            (part / VALUE).write_text(json.dumps(encode(value, part)))
            with suppress(OSError):  # another worker was given the same task, and was faster
                part.rename(place / RESULT)
            rmtree(part, ignore_errors=True)
    return "", ""


def read_result(folder: Path) -> Any:
    """What came of a task; the VibroError that it ended with is raised."""
    place = folder / RESULT
    if not _shown(place / VALUE):
        raise ResourceError(f"what a Dask worker has written does not appear in {folder.parent}", hint=SHARED)
    found = decode(json.loads((place / VALUE).read_text()), place)
    if "error" in found:
        raise getattr(errors, found["error"])(found["message"], hint=found["hint"])
    value = found["value"]
    if isinstance(value, dict):
        return DetectorResult(**{**value, "loss": tuple(value["loss"]), "stopped_on": tuple(value["stopped_on"])})
    return value


def _read_task(folder: Path) -> tuple[Callable[[Any], Any], Any]:
    table = decode(json.loads((folder / TASK).read_text()), folder, files=True)
    work, kind = WORK[table.pop("work")]
    cls = _class_found(table["cls"])
    table |= {"cls": cls, "params": check_settings(cls.Params, table["params"], cls.name)}
    table["ctx"] = Context(**{**table["ctx"], "names": tuple(table["ctx"]["names"])})
    table = {key: _opened(value) for key, value in table.items()}
    return work, kind(**table)


def _told(value: Any) -> Any:
    return {f.name: getattr(value, f.name) for f in fields(value)} if isinstance(value, DetectorResult) else value


def _located(value: Any) -> Any:
    """Arrays that lie in files by their paths, others as copies, so that no file out of sight is meant."""
    if isinstance(value, ArrayRef):
        return {"_at": value.path}
    if isinstance(value, Mapping):
        return {key: _located(item) for key, item in value.items()}
    return np.array(value) if isinstance(value, np.memmap) else value


def _opened(value: Any) -> Any:
    if isinstance(value, dict):
        return ArrayRef(path=value["_at"]) if set(value) == {"_at"} else {k: _opened(v) for k, v in value.items()}
    return value


def _context_told(ctx: Context) -> dict[str, Any]:
    return {"seed": ctx.seed, "device": ctx.device, "fs": ctx.fs, "names": ctx.names, "scratch": ctx.scratch}


def _class_told(cls: type[Component]) -> dict[str, Any]:
    """How another process finds a component's class: by its module and name, or as a plugin in a process of its own."""
    if issubclass(cls, Remote):
        limits, file = asdict(cls.source.limits), cls.source.file
        source = [cls.source.plugin, cls.source.module, file and str(file), limits, list(cls.source.descriptions)]
        return {"source": json.dumps(source), "kind": cls.kind, "name": cls.name}
    file = getattr(sys.modules[cls.__module__], "__file__", None)
    return {"module": cls.__module__, "file": file, "name": cls.__qualname__}


def _class_found(table: Mapping[str, Any]) -> type[Component]:
    if "source" in table:
        return next(c for c in _stand_ins(table["source"]) if (c.kind, c.name) == (table["kind"], table["name"]))
    found = find_module(table["module"], table["file"])
    for part in table["name"].split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


@lru_cache(maxsize=8)
def _stand_ins(source: str) -> list[type[Component]]:
    plugin, module, file, limits, descriptions = json.loads(source)
    return stand_ins(Source(plugin, module, file and Path(file), Limits(**limits), tuple(descriptions)))


def _shown(path: Path) -> bool:
    """Whether the path is there, or comes into sight soon."""
    until = time.monotonic() + SLOW
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
