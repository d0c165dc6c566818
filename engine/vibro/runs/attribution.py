"""Where records are unlike what the networks of a model learned, for the pages of a run and of a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Detector
from vibro.core.attribution import attributions
from vibro.core.fitted import FittedEnsemble
from vibro.errors import VibroError
from vibro.host.manager import PluginHost
from vibro.report.attribution import AttributionMap, AttributionMaps, attribution_map
from vibro.report.data import RunData
from vibro.report.explain import Explanation
from vibro.runs.occlusion import batch_of, model_of


def maps_of(host: PluginHost, fitted: FittedEnsemble | None = None) -> AttributionMaps:
    """What the report asks for its cases: of the rows of a run, by their samples, and why some could not be had.

    ``fitted``: the model, else that of the run is loaded; where no detector says what makes its score, nothing is told.
    """

    def asked(
        run: RunData, signals: Mapping[int, NDArray[np.float32]]
    ) -> tuple[dict[int, tuple[AttributionMap, ...]], list[str]]:
        try:
            if not signals or not may_say(host, run):
                return {}, []
            model = fitted or model_of(host, run)
            rows = list(signals)
            batch = batch_of(run, rows, np.stack([signals[row] for row in rows]))
            found, failed = attributions(model, batch)
        except VibroError as error:
            return {}, [f"what makes the scores of the networks cannot be said: {error.message}"]
        length = batch.length / batch.fs
        placed = {row: [attribution_map(one, i, length) for one in found] for i, row in enumerate(rows)}
        return {row: tuple(one for one in some if one) for row, some in placed.items()}, failed

    return asked


def may_say(host: PluginHost, run: RunData) -> bool:
    """Whether the run has a detector that may say what makes its score."""
    used = {d.get("component") for d in run.summary.get("detectors", [])}
    classes: list[Any] = [host.component("detector", name) for name in host.names("detector") if name in used]
    return any(cls.attribution is not Detector.attribution for cls in classes)


def with_attributions(host: PluginHost, found: Explanation) -> Explanation:
    """The explanation with where the networks find its record unlike, in its table under ``attributions``."""
    if not found.signal.size:
        return replace(found, table={**found.table, "attributions": []})
    by_row, failed = maps_of(host)(found.run, {found.row: found.signal})
    maps = by_row.get(found.row, ())
    told = [{"detector": one.detector, "regions": [region.table for region in one.regions]} for one in maps]
    return replace(found, table={**found.table, "attributions": told}, maps=maps, notes=(*found.notes, *failed))
