"""Asks another process, in another folder, for the answers of the same component."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from os import environ, pathsep
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vibro.testing.case import Case

CHILD_SECONDS = 120


def ask(case: Case) -> dict[str, NDArray[Any]]:
    """The answers of a new process: one after its own fit, one after loading this process's state."""
    from vibro.testing.case import CheckFailedError

    with tempfile.TemporaryDirectory(prefix="vibro-kit-") as name:
        folder = Path(name)
        request = {
            "module": case.cls.__module__,
            "file": getattr(sys.modules.get(case.cls.__module__), "__file__", None),
            "cls": case.cls.__qualname__,
            "seed": case.seed,
            "settings": case.settings,
            "item": case.item,
            "device": case.device,
        }
        (folder / "request.json").write_text(json.dumps(request))
        if case.learns:
            np.savez(folder / "state.npz", **case.fitted.state())  # type: ignore[arg-type]
        env = {**environ, "PYTHONPATH": pathsep.join(entry for entry in map(_absolute, sys.path) if entry)}
        command = [sys.executable, "-m", "vibro.testing.child", name]
        try:
            done = subprocess.run(command, cwd=name, env=env, capture_output=True, text=True, timeout=CHILD_SECONDS)
        except subprocess.TimeoutExpired:
            raise CheckFailedError(f"the other process did not answer within {CHILD_SECONDS} s") from None
        if done.returncode:
            raise CheckFailedError(f"the other process ended with code {done.returncode}: {done.stderr.strip()[-400:]}")
        with np.load(folder / "answer.npz", allow_pickle=False) as arrays:
            return dict(arrays)


def _absolute(entry: str) -> str:
    return str(Path(entry).resolve()) if entry else str(Path.cwd())
