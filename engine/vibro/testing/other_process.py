"""Asks another process, started in another folder, for the answers of the same components."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from os import environ, pathsep
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vibro.api import Component, State
from vibro.testing.assertions import CheckFailedError

CHILD_SECONDS = 120  # for each component


class Request(NamedTuple):
    """A component class, the options of its case, and the state to answer from (None: it has none)."""

    cls: type[Component]
    options: Mapping[str, Any]
    state: State | None


def ask(requests: Sequence[Request]) -> list[dict[str, NDArray[Any]]]:
    """For each request the answers of one new process: ``restored`` from the given state, ``refitted`` by its own fit.

    CheckFailedError if the process fails or takes longer than CHILD_SECONDS for each request.
    """
    with tempfile.TemporaryDirectory(prefix="vibro-kit-") as name:
        folder = Path(name)
        (folder / "request.json").write_text(json.dumps([_described(request) for request in requests]))
        for i, request in enumerate(requests):
            if request.state is not None:
                np.savez(folder / f"state-{i}.npz", **request.state)  # type: ignore[arg-type]
        env = {**environ, "PYTHONPATH": pathsep.join(_absolute(entry) for entry in sys.path)}
        command = [sys.executable, "-m", "vibro.testing.child", name]
        limit = CHILD_SECONDS * len(requests)
        try:
            done = subprocess.run(command, cwd=name, env=env, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            raise CheckFailedError(f"the other process did not answer within {limit} s") from None
        if done.returncode:
            raise CheckFailedError(f"the other process ended with code {done.returncode}: {done.stderr.strip()[-400:]}")
        answers = []
        for i in range(len(requests)):
            with np.load(folder / f"answer-{i}.npz", allow_pickle=False) as arrays:
                answers.append(dict(arrays))
        return answers


def _described(request: Request) -> dict[str, Any]:
    module = request.cls.__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    return {"module": module, "file": file, "cls": request.cls.__qualname__, **request.options}


def _absolute(entry: str) -> str:
    return str(Path(entry).resolve()) if entry else str(Path.cwd())
