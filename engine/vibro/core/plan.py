"""A plan: the components of an ensemble with their checked settings, and the views that they read, inputs first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vibro.api import (
    Detector,
    FeatureExtractor,
    Fuser,
    Params,
    Thresholder,
    ViewKey,
    settings_of,
)
from vibro.context import Context
from vibro.core.view_graph import INSTANT
from vibro.scoring.calibration import CalibrationEntry
from vibro.scoring.thresholds import Budgets


@dataclass(frozen=True)
class Ensemble(Params):
    """An ensemble's table as written in a registry or a file of its own.

    ``suspects``: ids of detectors that are fitted first; the fit rows that they find most suspicious are kept from the others.
    """

    detectors: tuple[dict[str, Any], ...]
    summary: str = ""
    suspects: tuple[str, ...] = ()
    calibration: CalibrationEntry = field(default_factory=CalibrationEntry)
    fuser: dict[str, Any] = field(default_factory=lambda: {"use": "auto"})
    thresholder: dict[str, Any] = field(default_factory=lambda: {"use": "quantile"})
    budgets: Budgets = field(default_factory=Budgets)
    quorum: float = 0.5


@dataclass(frozen=True)
class PlannedDetector:
    """One detector of a plan."""

    id: str
    cls: type[Detector]
    params: Params
    view: ViewKey
    plugin: str
    version: str


@dataclass(frozen=True)
class PlannedView:
    """One view of a plan: its extractor, the checked parameters, and the views that it is made from."""

    cls: type[FeatureExtractor]
    params: Params
    inputs: tuple[ViewKey, ...]


@dataclass(frozen=True)
class Plan:
    """All that a fit needs: detectors, extractors by view in order, and how many read each view."""

    name: str
    ensemble: Ensemble
    detectors: tuple[PlannedDetector, ...]
    views: tuple[ViewKey, ...]
    extractors: Mapping[ViewKey, PlannedView]
    readers: Mapping[ViewKey, int]
    fuser: type[Fuser]
    fuser_params: Params
    thresholder: type[Thresholder]
    thresholder_params: Params
    absent: tuple[tuple[str, str], ...] = ()  # detector id, reason (--allow-missing)

    def seconds_per_thousand(self) -> float:
        """Expected seconds for 1,000 records of 8,192 samples on one core, from the figures that components state."""
        return sum(
            cls.seconds for cls in (*(d.cls for d in self.detectors), *(v.cls for v in self.extractors.values()))
        )

    def reads(self, detector: str, root: str) -> bool:
        """Whether a detector's view is made from this root too: ``raw``, ``covariates``, ``sensor`` or ``instant``."""

        def reads(key: ViewKey) -> bool:
            return key.name == root or any(map(reads, self.extractors[key].inputs if key in self.extractors else ()))

        return any(reads(d.view) for d in self.detectors if d.id == detector)

    def needs_companions(self, detector: str) -> bool:
        """Whether a detector's view of a record is made from the other records of its instant too."""
        return self.reads(detector, INSTANT)

    def make_extractors(self, ctx: Context) -> dict[ViewKey, FeatureExtractor]:
        """One fresh extractor a view."""
        return {key: (v := self.extractors[key]).cls(v.params, ctx.child(str(key))) for key in self.views}


def survivors_of(plan: Plan, ids: Sequence[str]) -> Plan:
    """The plan with only these detectors and the views that they need."""
    detectors = tuple(d for d in plan.detectors if d.id in ids)
    needed: Counter[ViewKey] = Counter(d.view for d in detectors)
    for key in reversed(plan.views):
        if needed[key]:
            needed.update(plan.extractors[key].inputs)
    views = tuple(key for key in plan.views if needed[key])
    return replace(plan, detectors=detectors, views=views, readers=needed)


def resolved(plan: Plan) -> dict[str, Any]:
    """The plan as the JSON of an ensemble, every parameter with its value."""
    entry = plan.ensemble
    table = settings_of(entry)
    table["detectors"] = [
        {
            "use": d.cls.name,
            "id": d.id,
            "view": _view_table(d.view),
            **settings_of(d.params),
        }
        for d in plan.detectors
    ]
    return {"name": plan.name, **table}


def _view_table(key: ViewKey) -> dict[str, Any]:
    return {"use": key.name, **key.settings}
