"""The process of an isolated plugin: sets its limits, imports the plugin, then answers requests until its input closes."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PDEATHSIG = 1  # prctl: the signal that a process gets when its parent dies
Send = Callable[[dict[str, Any]], None]


def main(folder: Path) -> None:
    """Serves the worker whose folder this is."""
    setup = json.loads((folder / "setup.json").read_text())
    take_limits(setup["limits"])
    requests, answers = setup["descriptors"]
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)

    def send(message: dict[str, Any]) -> None:
        os.write(answers, json.dumps(message).encode() + b"\n")

    try:
        classes = load(setup)
        send({"answer": [describe(cls) for cls in classes]})
    except BaseException as error:  # the parent decides what to do about an error of the import
        send({"error": said(error)})
        os._exit(1)
    objects: dict[str, Any] = {}
    with os.fdopen(requests) as lines:
        for line in lines:
            answer(Path(line.rstrip("\n")), classes, objects, send)
    os._exit(0)


def take_limits(limits: dict[str, Any]) -> None:
    """Lowers this process's limits and binds its life to the parent's."""
    for kind, value in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)


def load(setup: dict[str, Any]) -> list[Any]:
    """The component classes of the plugin, registered with a host of its own."""
    from vibro.host.isolation.modules import find_module
    from vibro.host.manager import PluginHost

    host = PluginHost.create(autoload=False, environ={})
    return host.register_module(setup["plugin"], find_module(setup["module"].partition(":")[0], setup["file"]))


def describe(cls: Any) -> dict[str, Any]:
    """What the host must know of a component to stand in for it."""
    from pydantic import TypeAdapter

    plain = {
        name: getattr(cls, name)
        for name in (
            *(
                "kind",
                "name",
                "deterministic",
                "api",
                "view",
                "item",
                "takes",
                "needs_labels",
                "exclusive",
                "cross_fit",
            ),
            *("wants_disturbed", "own_held_out", "robust", "min_rows", "wants_trial", "higher_is_better"),
        )
        if hasattr(cls, name)
    }
    return {
        **plain,
        "requires": list(cls.requires),
        "extensions": list(getattr(cls, "extensions", ())),
        "summary": cls.summary or (cls.__doc__ or "").strip().partition("\n")[0],
        "doc": cls.__doc__ or "",
        "schema": TypeAdapter(cls.Params).json_schema(),
        "path": sys.modules[cls.__module__].__file__ if cls.__module__ in sys.modules else None,
    }


def answer(folder: Path, classes: list[Any], objects: dict[str, Any], send: Send) -> None:
    """Carries out the request that lies in a folder."""
    from vibro.host.isolation.codec import decode, encode

    try:
        request = decode(json.loads((folder / "request.json").read_text()), folder, files=True)
        for token in request["forget"]:
            objects.pop(token, None)
        send({"answer": encode(perform(request, classes, objects, send), folder)})
    except BaseException as error:
        send({"error": said(error)})
        if not isinstance(error, Exception):
            os._exit(1)


def perform(request: dict[str, Any], classes: list[Any], objects: dict[str, Any], send: Send) -> dict[str, Any]:
    """Calls one method; the answer is its value and what the component now says of itself."""
    cls = next(c for c in classes if (c.kind, c.name) == (request["kind"], request["name"]))
    method, args = request["method"], request["args"]
    if method in ("inputs", "accepts"):
        given = [cls.make(request["settings"], context(request, send)).params] if method == "inputs" else args
        value = getattr(cls, method)(*given)
        return {
            "value": [view if isinstance(view, str) else str_key(view) for view in value]
            if method == "inputs"
            else value
        }
    token = request["token"]
    if token not in objects:
        objects[token] = cls.make(request["settings"], context(request, send))
        if request["state"] is not None:
            objects[token].load_state(request["state"])
    component = objects[token]
    for array in args:
        lock(array)
    value = getattr(component, method)(*args)
    return {"value": list(value) if method == "read" else value, "facts": facts(component)}


def str_key(view: Any) -> dict[str, Any]:
    """A view key as the table that an ensemble would hold."""
    return {"use": view.name, **view.settings}


def lock(value: Any) -> None:
    """Arrays arrive read-only, as they do in the engine's own process."""
    import numpy as np

    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, dict):
        for item in value.values():
            lock(item)


def facts(component: Any) -> dict[str, Any]:
    """State and other attributes of a component after a call; those that are not available yet are left out."""
    from vibro.errors import NotFittedError

    found: dict[str, Any] = {}
    for name in ("state", "health", "weights", "notes", "details"):
        if hasattr(component, name):
            try:
                found[name] = getattr(component, name)()
            except (NotFittedError, AttributeError):
                continue
    if hasattr(component, "kept"):
        found["kept"] = component.kept
    return found


def context(request: dict[str, Any], send: Send) -> Any:
    """The context that the engine gave, with progress sent over."""
    from vibro.context import Context, Disturbed, seldom

    progress = seldom(lambda done, total: send({"progress": [int(done), int(total)]}))
    given = request["ctx"]
    disturbed = None if given["disturbed"] is None else Disturbed(**given["disturbed"])
    lock(given["disturbed"])
    names, groups = tuple(given["names"]), given["groups"]
    return Context(given["seed"], given["device"], given["fs"], names, progress, groups=groups, disturbed=disturbed)


def said(error: BaseException) -> dict[str, str]:
    """Class and message of an error, also if ``__str__`` raises."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = "(its message cannot be shown)"
    return {"class": type(error).__name__, "message": message[:2000]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
