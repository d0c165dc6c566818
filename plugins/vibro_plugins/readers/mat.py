"""Reader ``mat``: numeric vectors of a MATLAB file up to version 7.2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Context, Params, Reader, Record, Rejected
from vibro_plugins.readers.text.items import BadField

MAX_BYTES = 4 << 30  # of all variables that are loaded
_RATES = ("fs", "sr", "sampling_rate", "samplingrate", "sample_rate")


@dataclass(frozen=True)
class MatParams(Params):
    """``mat_key``: the variable to read, ``a.b`` for a field of a struct; by default every numeric vector."""

    mat_key: str | None = None


class Mat(Reader):
    """Each vector is a record; of a matrix each line along its longer side. ``fs`` is read from a scalar of that name."""

    name = "mat"
    summary = "numeric vectors of a MATLAB file up to version 7.2"
    extensions = (".mat",)
    Params = MatParams
    requires = ("scipy",)

    def __init__(self, params: MatParams, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._notes: list[str] = []

    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every record; a file that cannot be read, or that holds none, is one Rejected."""
        self._notes = []
        try:
            variables = self._load(path)
            signals = self._signals(variables)
        except BadField as error:
            yield Rejected(error.code, error.detail, pointer=f"/{error.field}" if error.field else "")
            return
        self._notes.append("no sensor_id: all records share one baseline")
        fs = _rate(variables, self.params.mat_key)
        for row, (name, values) in enumerate(signals):
            with np.errstate(over="ignore"):
                signal = np.array(values, dtype=np.float32)
            finite = np.isfinite(signal)
            if not finite.all():
                at = int(np.argmin(finite))
                yield Rejected(
                    "Q007", f"sample {at} is {values[at]}, not a finite float32", row, pointer=f"/{name}/{at}"
                )
                continue
            yield Record(signal[None], "", fs=fs, row=row)

    def notes(self) -> list[str]:
        """What the last file deserves to be said about it."""
        return self._notes

    def _load(self, path: Path) -> dict[str, Any]:
        """The variables wanted, none of them larger than allowed."""
        from scipy.io import loadmat, whosmat

        with path.open("rb") as stream:
            head = stream.read(128)
            if head.startswith(b"MATLAB 7.3") or head.startswith(b"\x89HDF"):
                raise BadField("Q001", "", "MATLAB 7.3 (HDF5); save it in MATLAB with the option -v7")
            stream.seek(0)
            wanted = None if self.params.mat_key is None else self.params.mat_key.split(".")[0]
            try:
                listed = whosmat(stream)
                names = [name for name, _, _ in listed if wanted in (None, name) or name.lower() in _RATES]
                size = sum(8 * int(np.prod(shape, dtype=np.float64)) for name, shape, _ in listed if name in names)
                if size > MAX_BYTES:
                    raise BadField("Q019", "", f"the variables take more than {MAX_BYTES >> 30} GiB")
                stream.seek(0)
                found = loadmat(stream, variable_names=names, squeeze_me=False, struct_as_record=True)
            except Exception as error:  # a damaged stream brings up every kind of error inside the parser
                if isinstance(error, BadField | MemoryError) or (isinstance(error, OSError) and error.errno):
                    raise
                why = " ".join(str(error).split()) or type(error).__name__
                raise BadField("Q001", "", f"no MATLAB file that can be read: {why}") from None
        return {name: value for name, value in found.items() if not name.startswith("__")}

    def _signals(self, variables: dict[str, Any]) -> list[tuple[str, NDArray[Any]]]:
        """Names and values of the records, in the order of the names."""
        key = self.params.mat_key
        if key is None:
            vectors = [
                (name, np.ravel(value))
                for name, value in sorted(variables.items())
                if _is_numeric(value) and value.size > 1 and value.size == max(value.shape)
            ]
            if not vectors:
                found = ", ".join(sorted(variables)[:8]) or "nothing"
                raise BadField("Q005", "", f"no numeric vector (found: {found}); name a variable by --mat-key")
            return vectors
        value = _inside(variables, key)
        if not _is_numeric(value) or value.ndim != 2 or not value.size:
            raise BadField("Q006", key, f"{key} is no numeric vector or matrix")
        lines = value if value.shape[1] >= value.shape[0] else value.T
        return [(f"{key}/{i}" if len(lines) > 1 else key, line) for i, line in enumerate(lines)]


def _inside(variables: dict[str, Any], key: str) -> Any:
    """A variable, or a field of a struct in it."""
    value: Any = variables
    for name in key.split("."):
        if isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
            value = {field: value[field].reshape(-1)[0] for field in value.dtype.names}
        if not isinstance(value, dict) or name not in value:
            known = ", ".join(sorted(value)[:8]) if isinstance(value, dict) else "no fields"
            raise BadField("Q005", key, f"no variable {key} (at {name}: {known})")
        value = value[name]
    return value


def _is_numeric(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu"


def _rate(variables: dict[str, Any], key: str | None) -> float:
    """A scalar named like a sampling rate, beside the signal or at the top; 0 = not given."""
    places = [variables]
    if key and "." in key:
        parent = _inside(variables, key.rpartition(".")[0])
        if isinstance(parent, np.ndarray) and parent.dtype.names and parent.size == 1:
            places.insert(0, {field: parent[field].reshape(-1)[0] for field in parent.dtype.names})
    for place in places:
        for name, value in place.items():
            if name.lower() in _RATES and _is_numeric(value) and value.size == 1 and 0 < float(value.item()) < np.inf:
                return float(value.item())
    return 0.0


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Mat)
