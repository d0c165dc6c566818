"""Cut from labels: the best F1, or the least cost, on the labelled scores it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import ConfigError, Params, Thresholder


class Labelled(Thresholder):
    """The cut with the best F1 or the least cost on a named calibration split; too optimistic for the rows of that split.

    The budget does not enter: the labels decide. Cuts lie halfway between neighbouring scores; of equals the higher wins.
    """

    name = "labelled"
    summary = "best F1 or least cost on labelled scores"
    needs_labels = True

    @dataclass(frozen=True)
    class Params(Params):
        """``objective``: what is best; ``miss``: cost of a missed fault in false alarms, for ``cost``."""

        objective: Literal["f1", "cost"] = "f1"
        miss: Annotated[float, Field(gt=0)] = 10.0

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut; ConfigError unless both classes are among the labels."""
        if not 0.0 < budget < 1.0:
            raise ConfigError(f"budget {budget!r} must lie strictly between 0 and 1")
        label = np.full(len(scores), -1) if y is None else np.asarray(y)
        rows = np.isfinite(scores) & (label >= 0)
        fault, known = label[rows] > 0, np.asarray(scores, dtype=np.float64)[rows]
        if not fault.any() or fault.all():
            have = "none" if not len(fault) else "faults only" if fault.all() else "normals only"
            raise ConfigError(f"thresholder labelled needs labels of both classes, found {have}", hint="--labels FILE")
        order = np.argsort(-known, kind="stable")
        known, fault = known[order], fault[order]
        last = np.append(np.diff(known) < 0, True)  # a cut can only lie between different scores
        hits, alarms = np.cumsum(fault)[last], (np.arange(len(known)) + 1)[last]
        if self.params.objective == "f1":
            gain = 2.0 * hits / (alarms + fault.sum())
        else:
            gain = -(self.params.miss * (fault.sum() - hits) + (alarms - hits))
        best = int(np.argmax(gain))
        distinct = known[last]
        below = distinct[best + 1] if best + 1 < len(distinct) else np.nextafter(distinct[best], -np.inf)
        half = float(0.5 * (distinct[best] + below))
        self._details = {
            "fallback": None,
            "objective": self.params.objective,
            "best": float(gain[best]),
            "normal": int((~fault).sum()),
            "anomalous": int(fault.sum()),
        }
        return half if half < distinct[best] else float(below)

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: the objective, its best value on these labels, and how many of each class there were."""
        return self._details


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Labelled)
