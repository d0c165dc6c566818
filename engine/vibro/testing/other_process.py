"""Asks another process, in another folder, for the answers of the same components."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from os import environ, pathsep
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vibro.testing.case import Case

CHILD_SECONDS = 120


def ask(cases: Sequence[Case]) -> list[dict[str, NDArray[Any]]]:
    """For each case the answers of one new process: ``restored`` from this process's state, ``refitted`` by its own fit."""
    from vibro.testing.assertions import CheckFailedError

    with tempfile.TemporaryDirectory(prefix="vibro-kit-") as name:
        folder = Path(name)
        (folder / "request.json").write_text(json.dumps([_request(case) for case in cases]))
        for i, case in enumerate(cases):
            if case.learns:
                np.savez(folder / f"state-{i}.npz", **case.fitted.state())
        env = {**environ, "PYTHONPATH": pathsep.join(_absolute(entry) for entry in sys.path)}
        command = [sys.executable, "-m", "vibro.testing.child", name]
        limit = CHILD_SECONDS * len(cases)
        try:
            done = subprocess.run(command, cwd=name, env=env, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            raise CheckFailedError(f"the other process did not answer within {limit} s") from None
        if done.returncode:
            raise CheckFailedError(f"the other process ended with code {done.returncode}: {done.stderr.strip()[-400:]}")
        answers = []
        for i in range(len(cases)):
            with np.load(folder / f"answer-{i}.npz", allow_pickle=False) as arrays:
                answers.append(dict(arrays))
        return answers


def _request(case: Case) -> dict[str, Any]:
    module = case.cls.__module__
    return {
        "module": module,
        "file": getattr(sys.modules.get(module), "__file__", None),
        "cls": case.cls.__qualname__,
        "seed": case.seed,
        "settings": case.settings,
        "item": case.item,
        "device": case.device,
    }


def _absolute(entry: str) -> str:
    return str(Path(entry).resolve()) if entry else str(Path.cwd())
