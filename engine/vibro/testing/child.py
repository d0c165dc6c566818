"""The other process of the kit: fits and answers again, and answers from the state alone."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def find(module: str, file: str | None, qualname: str) -> Any:
    """The class by module and name; a module that cannot be imported by name is read from its file."""
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        if file is None:
            raise
        spec = importlib.util.spec_from_file_location(module, file)
        assert spec is not None and spec.loader is not None  # a .py path always has a loader
        found = sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def main(folder: Path) -> None:
    """Reads request.json (and state.npz) of a folder, writes answer.npz."""
    from vibro.testing.runner import case_for

    request = json.loads((folder / "request.json").read_text())
    cls = find(request["module"], request["file"], request["cls"])
    case = case_for(
        cls, seed=request["seed"], settings=request["settings"], item=request["item"], device=request["device"]
    )
    answers = {}
    if case.learns:  # first, so that nothing of a fit can be left in the process
        component = case.make()
        with np.load(folder / "state.npz", allow_pickle=False) as state:
            component.load_state(dict(state))
        answers["restored"] = np.asarray(case.answer(component))
    answers["refitted"] = np.asarray(case.answer(case.fit(case.make())))
    np.savez(folder / "answer.npz", **answers)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
