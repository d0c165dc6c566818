"""The other process of the kit: fits and answers again, and answers from the state alone."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def find_module(module: str, file: str | None) -> Any:
    """The module by its name; one that cannot be imported by name is read from its file."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        if file is None:
            raise
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec is not None and spec.loader is not None  # a .py path always has a loader
    found = sys.modules[module] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def find(module: str, file: str | None, qualname: str) -> Any:
    """The class by module and name."""
    found = find_module(module, file)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def main(folder: Path) -> None:
    """Reads request.json (and the states) of a folder, writes one file of answers a component."""
    for i, request in enumerate(json.loads((folder / "request.json").read_text())):
        np.savez(folder / f"answer-{i}.npz", **answers(request, folder / f"state-{i}.npz"))  # type: ignore[arg-type]


def answers(request: dict[str, Any], state: Path) -> dict[str, Any]:
    """Both answers of one component."""
    from vibro.testing.runner import case_for

    cls = find(request["module"], request["file"], request["cls"])
    options = {key: request[key] for key in ("seed", "settings", "item", "device")}
    case = case_for(cls, **options)
    found = {}
    if case.learns:  # first, so that nothing of a fit can be left in the process
        component = case.make()
        with np.load(state, allow_pickle=False) as arrays:
            component.load_state(dict(arrays))
        found["restored"] = np.asarray(case.answer(component))
    found["refitted"] = np.asarray(case.answer(case.fit(case.make())))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
