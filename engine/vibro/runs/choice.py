"""Which cut would catch injected faults: thresholders and budgets compared on the scores that a run keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Thresholder, without_use
from vibro.context import Context
from vibro.errors import VibroError
from vibro.host.manager import PluginHost
from vibro.injection.faults import KINDS, SEVERITIES
from vibro.injection.trial import CAUGHT, Trial
from vibro.runs.voice import percent
from vibro.scoring.thresholds import Budgets, guarded_cut

AUTO = (
    "auto"  # the thresholder whose choice is reviewed, and whose far-out share is set aside where budgets are counted
)
TELLING = ("level", "harmonics", "band_noise", "impacts")  # kinds that an ensemble is expected to catch
LARGER = (2.0, 5.0, 10.0)  # times the budget, up to MOST, that are tried where no cut at the budget is enough
MOST = 0.2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A cut that could be taken: ``caught`` (kinds of ``TELLING``, severities) share of injected faults above it.

    ``over``: reference scores above it.
    """

    method: str
    budget: float
    cut: float
    caught: Floats
    over: int

    @property
    def missed(self) -> list[int]:
        """Places in ``TELLING`` of the kinds of which less than half are caught at the greatest severity."""
        return [int(i) for i in np.flatnonzero(self.caught[:, -1] < CAUGHT)]


@dataclass(frozen=True)
class Cutting:
    """What a cut is chosen from: the trial and the reference scores (r,) of a run, its thresholder, budgets and seed.

    ``thresholder``: the table of the run's method with its settings.
    """

    host: PluginHost
    trial: Trial
    reference: Floats
    thresholder: Mapping[str, Any]
    budgets: Budgets
    seed: int

    def candidate(self, method: str, budget: float, cut: float) -> Candidate:
        """A cut judged on the trial."""
        fused = self.trial.fused[[KINDS.index(kind) for kind in TELLING]]
        return Candidate(method, budget, cut, (fused > cut).mean(axis=2), int((self.reference > cut).sum()))

    def candidate_of(self, method: str, budget: float) -> tuple[Candidate, Mapping[str, Any]]:
        """The cut of a method, the run's own with its settings, and the method's details."""
        table = self.thresholder if method == self.thresholder["use"] else {"use": method}
        thresholder = make_thresholder(self.host, table, self.seed)
        cut = guarded_cut(thresholder, self.reference, budget)
        return self.candidate(method, budget, cut), thresholder.details()

    def at_budget(self) -> list[Candidate]:
        """The cuts of all thresholders at the alarm budget that keep it on the reference, and that of ``auto`` in any case.

        Kept: of the reference without the scores that ``auto`` takes for faults and alarms, no more than the budget lies
        above.
        A method that needs labels, or fails on this reference, was not asked for by the user: it gives no candidate.
        """
        known, budget = int(np.isfinite(self.reference).sum()), self.budgets.alarm
        found, aside = [], 0
        for method in self.host.names("thresholder"):
            with suppress(Exception):
                candidate, details = self.candidate_of(method, budget)
                found.append(candidate)
                if method == AUTO:
                    aside = min(int(details.get("far_out") or 0), candidate.over)
        allowed = aside + ceil(budget * (known - aside))
        return [c for c in found if c.over <= allowed or c.method == AUTO]

    def larger(self) -> Iterator[Candidate]:
        """The run's own method at larger budgets."""
        for factor in LARGER:
            budget = float(f"{factor * self.budgets.alarm:.3g}")
            if budget <= MOST:
                with suppress(VibroError):
                    yield self.candidate_of(str(self.thresholder["use"]), budget)[0]


def make_thresholder(host: PluginHost, table: Mapping[str, Any], seed: int) -> Thresholder:
    """A thresholder from its table, ``use`` and its settings, with the run's seed."""
    method = str(table["use"])
    cls = host.component("thresholder", method)
    assert issubclass(cls, Thresholder)
    return cls.make(without_use(table), Context(seed=seed).child(f"thresholder:{method}"), where="thresholder")


def best(now: Candidate, others: list[Candidate]) -> Candidate:
    """The cut that catches most severe faults of the kinds that ``now`` misses, then of all; ``now`` where none catches more.

    Of cuts that catch as much the highest.
    """

    def missed(c: Candidate) -> float:
        return float(c.caught[now.missed, -1].sum())

    better = [c for c in others if missed(c) > missed(now)]
    return max(better, key=lambda c: (missed(c), float(c.caught.mean()), c.cut), default=now)


def chosen(cutting: Cutting) -> tuple[str, str]:
    """The method that ``--method auto`` takes, and the sentence that says why; ``cutting`` holds ``auto``'s own table."""
    now, _ = cutting.candidate_of(AUTO, cutting.budgets.alarm)
    found = best(now, cutting.at_budget())
    if not now.missed:
        return AUTO, f"auto: half of the injected faults of every kind are caught at severity {SEVERITIES[-1]:g}"
    shares = _shares(found, now.missed)
    if found.method == AUTO:
        return AUTO, f"auto: no other cut within the budget on the reference catches more; at this one {shares}"
    return found.method, (
        f"{found.method} instead of {now.method}: within the budget on the reference it catches the most of what was missed;"
        f" at severity {SEVERITIES[-1]:g} {shares}, before {_shares(now, now.missed)}"
    )


def advice(cutting: Cutting, alarm: float) -> list[str]:
    """The warning of a run whose alarm cut misses half of a kind of severe faults, with the setting that catches more."""
    now = cutting.candidate(str(cutting.thresholder["use"]), cutting.budgets.alarm, alarm)
    if not now.missed:
        return []
    smallest: dict[float, list[str]] = {}
    for kind, row in zip(TELLING, now.caught, strict=True):
        if (severity := _smallest(row)) is not None:
            smallest.setdefault(severity, []).append(_plain(kind))
    from_here = [f"{severity:g} ({_listed(smallest[severity])})" for severity in sorted(smallest)]
    said = f"of injected faults of severity {SEVERITIES[-1]:g} only {_shares(now, now.missed)} raise an alarm"
    said += f", at least half from severity {_listed(from_here)} on" if from_here else ""
    better = best(now, cutting.at_budget())
    if better is not now:
        return [f"{said}; vibro threshold RUN --method {better.method} would catch {_shares(better, now.missed)}"]
    for larger in cutting.larger():
        if not larger.missed:
            hint = f"vibro threshold RUN --budget {larger.budget:g} would catch {_shares(larger, now.missed)}"
            return [f"{said}; no cut within the budget catches more; {hint}"]
    return [f"{said}; no cut at a budget up to {min(MOST, LARGER[-1] * cutting.budgets.alarm):g} reaches half of them"]


def _smallest(caught: Floats) -> float | None:
    """Least severity from which on half are caught (severities,)."""
    short = np.flatnonzero(caught < CAUGHT)
    first = int(short[-1]) + 1 if len(short) else 0
    return SEVERITIES[first] if first < len(SEVERITIES) else None


def _shares(candidate: Candidate, kinds: list[int]) -> str:
    """``0 % of level and harmonics, 30 % of impacts``, at the greatest severity."""
    grouped: dict[str, list[str]] = {}
    for i in kinds:
        grouped.setdefault(percent(float(candidate.caught[i, -1])), []).append(_plain(TELLING[i]))
    return ", ".join(f"{share} of {_listed(same)}" for share, same in grouped.items())


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _plain(kind: str) -> str:
    return kind.replace("_", " ")
