"""The check of what a component exports: the same answer from its code and graph alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vibro.api import Exported
from vibro.errors import NotApplicableError
from vibro.portable.assemble import assembled, function_name, loaded
from vibro.portable.script import TOLERANCE
from vibro.testing.assertions import fail, require


class Asked(Protocol):
    """A case that knows the arrays behind its answer."""

    fitted: Any
    expected: NDArray[Any]

    @property
    def asked(self) -> list[NDArray[Any]]:
        """What the component is given for its answer, one array an input."""


def check_export(case: Asked) -> None:
    """What it exports, if it does, gives the same answer within 1e-5, with numpy and onnxruntime alone."""
    try:
        made = case.fitted.export()
    except NotApplicableError:
        return
    require(isinstance(made, Exported), f"export gave {type(made).__name__}, not an Exported")
    require(made.function is not None or made.graph, "neither a function nor a graph is exported")
    for name, array in made.arrays.items():
        require(np.asarray(array).dtype.kind in "biuf", f"array {name} is {np.asarray(array).dtype}, not numeric")
    if made.graph and importlib.util.find_spec("onnxruntime") is None:
        return  # nothing here can run it
    given: list[Any] = case.asked
    run = _run(made.graph) if made.graph else None
    if made.function is None:
        assert run is not None
        found = run(*given)
    else:
        try:
            source = assembled("vibro.portable.script", [made.function])
        except NotApplicableError as error:
            fail(error.message)
        with TemporaryDirectory(prefix="vibro-kit-") as folder:
            script = Path(folder, "score.py")
            script.write_text(source, "utf-8")
            functions = loaded(script).FUNCTIONS
        arrays = {name: np.asarray(array) for name, array in made.arrays.items()}
        found = functions[function_name(made.function)](arrays, *([] if run is None else [run]), *given)
    then = np.asarray(case.expected, np.float64)
    require(np.shape(found) == then.shape, f"the export gave shape {np.shape(found)}, not {then.shape}")
    wrong = ~(np.abs(found - then) <= TOLERANCE * np.maximum(np.abs(then), np.nanstd(then))) & ~np.isnan(then)
    wrong |= np.isnan(found) != np.isnan(then)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        fail(f"the export gives other values in {int(wrong.sum())} of {wrong.size}, first in row {row}")


def _run(graph: bytes) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))[0]
