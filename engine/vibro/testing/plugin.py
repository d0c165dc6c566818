"""Checks a whole plugin in a child process: it is loaded, its promises are compared, the kit runs on each component."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vibro.api import Component
from vibro.errors import PluginLoadError, PluginTimeoutError, UnknownComponentError

if TYPE_CHECKING:
    from vibro.host.manager import PluginHost

SLOW = ("check_fresh_process", "check_state_in_fresh_process", "check_no_growth")


def check_in_child(
    name: str, *, host: PluginHost, quick: bool = False, seed: int = 0, seconds: float = 600.0
) -> dict[str, Any]:
    """Outcomes of all checks of a plugin, run in a process of its own that is killed after ``seconds``.

    ``name`` is a plugin, a component (its plugin is loaded, the component checked) or a ``.py`` file. The result is
    ``{plugin, version, components[{kind, name, checks[]}]}``; PluginLoadError or PluginTimeoutError where none came.
    """
    file = Path(name)
    is_file = name.endswith(".py") and file.is_file()
    if not is_file and name.rpartition(":")[2] not in _known(host):
        raise UnknownComponentError(f"no plugin or component named {name!r}", hint="vibro plugins list")
    request = {
        "name": file.stem if is_file else name,
        "file": str(file.resolve()) if is_file else None,
        "overlay": str(host.registry.overlay.resolve()) if host.registry.overlay else None,
        "quick": quick,
        "seed": seed,
    }
    with tempfile.TemporaryDirectory(prefix="vibro-check-") as folder:
        Path(folder, "request.json").write_text(json.dumps(request))
        _run(folder, seconds, name)
        answer: dict[str, Any] = json.loads(Path(folder, "answer.json").read_text())
    if "error" in answer:
        raise PluginLoadError(answer["error"], plugin=name, hint=answer["hint"])
    return answer


def _known(host: PluginHost) -> set[str]:
    return {*host.plugins, *(item.partition(":")[2] for info in host.plugins.values() for item in info.provides)}


def _run(folder: str, seconds: float, name: str) -> None:
    command = [sys.executable, "-m", "vibro.testing.plugin", folder]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        _, said = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise PluginTimeoutError(
            f"the checks of {name} took longer than {seconds:g} s", plugin=name, hint="--timeout SECONDS, or --quick"
        ) from None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if not Path(folder, "answer.json").exists():
        last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
        raise PluginLoadError(
            f"the process that checked {name} ended with code {child.returncode}: {last[0]}", plugin=name
        )


def main(folder: Path) -> None:
    """The child: reads request.json, writes answer.json."""
    from vibro.errors import VibroError

    request = json.loads((folder / "request.json").read_text())
    try:
        answer = check_plugin(**request)
    except VibroError as error:
        answer = {"error": error.message, "hint": error.hint}
    temporary = folder / "answer.tmp"
    temporary.write_text(json.dumps(answer, default=str))
    temporary.rename(folder / "answer.json")


def check_plugin(name: str, file: str | None, overlay: str | None, quick: bool, seed: int) -> dict[str, Any]:
    """Loads one plugin here and runs every check on its components."""
    from vibro.host.manager import PluginHost
    from vibro.testing.runner import run_checks

    files = [Path(file)] if file else []
    host = PluginHost.create(overlay=Path(overlay) if overlay else None, files=files)
    classes = _classes(host, name)
    info = host.owner(classes[0].kind, classes[0].name) if classes else host.plugins[name]
    components = []
    for cls in classes:
        outcomes = run_checks(cls, seed=seed, only=lambda check: not (quick and check in SLOW))
        promised = f"{cls.kind}:{cls.name}" in info.provides
        components.append({"kind": cls.kind, "name": cls.name, "checks": [_promise(promised), *map(asdict, outcomes)]})
    return {"plugin": info.name, "version": info.version, "components": components}


def _promise(kept: bool) -> dict[str, Any]:
    return {
        "name": "check_provides",
        "status": "passed" if kept else "failed",
        "clause": "The registry's `provides` names the component.",
        "detail": "" if kept else "the plugin registers a component that its `provides` does not name",
        "input": "",
        "reproduce": "",
        "seconds": 0.0,
    }


def _classes(host: PluginHost, name: str) -> list[type[Component]]:
    """The components of a plugin, or the one of that name."""
    from vibro.api import KINDS

    kind, _, rest = name.rpartition(":")
    if not kind and name in host.plugins:
        return host.load(name)
    return [host.component(k, rest) for k in KINDS if kind in ("", k) and rest in host.names(k)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
