"""The other process of the kit: fits and answers again, and answers from the state alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vibro.host.isolation.modules import find_module


def find(module: str, file: str | None, qualname: str) -> Any:
    """The class by module and name."""
    found = find_module(module, file)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def main(folder: Path) -> None:
    """Reads request.json (and the states) of a folder, writes one file of answers per component."""
    for i, request in enumerate(json.loads((folder / "request.json").read_text())):
        np.savez(folder / f"answer-{i}.npz", **answers(request, folder / f"state-{i}.npz"))  # type: ignore[arg-type]


def answers(request: dict[str, Any], state: Path) -> dict[str, Any]:
    """Both answers of one component."""
    from vibro.testing.runner import case_for

    cls = find(request["module"], request["file"], request["cls"])
    options = {key: request[key] for key in ("seed", "settings", "item", "device")}
    case = case_for(cls, **options)
    found = {}
    if case.learns:  # first, so that no fit in this process can help
        component = case.make()
        with np.load(state, allow_pickle=False) as arrays:
            component.load_state(dict(arrays))
        found["restored"] = np.asarray(case.answer(component))
    found["refitted"] = np.asarray(case.answer(case.fit(case.make())))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
