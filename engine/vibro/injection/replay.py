"""Fitted detectors tried on altered records: the sentinel after a fit, and the audition of detectors and fusers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vibro.api import Fuser, State, Thresholder, ViewKey
from vibro.context import Context
from vibro.core.folds import Rows, spread
from vibro.core.plan import Plan, survivors_of
from vibro.core.views import ViewStore
from vibro.core.worker import ArrayRef, FitTask, score_task
from vibro.data import SignalBatch
from vibro.host.manager import PluginHost
from vibro.injection.sensitivity import ROWS, Sentinel, disturb, judge
from vibro.injection.trial import Trial, calm_rows, rehearse, usefulness, with_fused
from vibro.scoring.thresholds import fuse
from vibro.scoring.verdict import Calibration

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """The records and the views of one fit, as the trials use them.

    ``ctx``: the engine's; ``views``: states of the fitted views.
    """

    plan: Plan
    batch: SignalBatch
    rows: Rows
    views: Mapping[ViewKey, State]
    ctx: Context
    log: Callable[[str], None]

    def sentinels(self, states: Mapping[str, State]) -> dict[str, Sentinel]:
        """Whether disturbed copies of a few fit records raise the scores of the detectors with these states."""
        chosen = spread(self.rows.fit, ROWS)
        disturbed = disturb(self.batch, chosen, replace(self.ctx, fs=self.batch.fs).child("sentinel").rng())
        return judge(self._score(disturbed, states, "sentinel"))

    def audition(self, held: Mapping[str, State], calibration: Calibration, middle: Floats) -> Trial | None:
        """Calm records of the lowest fold with injected faults, scored by detectors that have not seen that fold.

        ``held``: states of those detectors; ``middle`` (fit rows,): how far out each record is. None: none is calm.
        """
        unseen = self.rows.fold == self.rows.fold.min(initial=0)
        chosen = calm_rows(self.batch, self.rows.fit[unseen], middle[unseen])
        if not len(chosen):
            return None

        def score(copies: SignalBatch) -> Floats:
            found = self._score(copies, held, "audition")
            lost = np.full(len(copies), np.nan)
            raw = np.stack([found.get(ident, lost) for ident in held], axis=1)
            return calibration.apply(raw, copies.sensor, copies.covariates)

        return rehearse(self.batch, chosen, score, self.ctx.child("audition").seed)

    def _score(self, copies: SignalBatch, states: Mapping[str, State], what: str) -> dict[str, Floats]:
        """Scores of altered records by frozen states; a detector that cannot take them is left out and noted."""
        ctx = replace(self.ctx, fs=copies.fs)
        part = survivors_of(self.plan, tuple(states))
        store = ViewStore(copies, part.make_extractors(ctx), part.readers, states=self.views)
        nobody = np.zeros(0, np.intp)
        scores: dict[str, Floats] = {}
        for d in part.detectors:
            try:
                x = ArrayRef(store.get(d.view))
            except Exception as error:
                self.log(f"note: no {what} for {d.id}, its view cannot take an altered record: {error}")
                continue
            task = FitTask(d.id, d.cls, d.settings, ctx.child(d.id), x, nobody, nobody.astype(np.int8), False)
            result = score_task(task, states[d.id])
            store.release(d.view)
            if result.scores is None:
                self.log(f"note: no {what} for {d.id}, it failed on altered records: {result.reason}")
            else:
                scores[d.id] = result.scores
        return scores


def rank_fusers(
    host: PluginHost, ctx: Context, trial: Trial, z: Floats, own: Floats, thresholder: Thresholder, budget: float
) -> dict[str, float]:
    """What every bundled fuser that needs no labels catches in the trial at an alarm budget, the best first.

    ``z`` (r, d) of the reference; ``own`` (d,) the detectors' cuts; ``ctx`` with the names of the detectors. A fuser that
    learns from a trial does so from every second record; all are judged on the others.
    """
    found = {}
    learned, judged = trial.part(0), trial.part(1) if len(trial.clean) > 1 else trial
    for name in host.names("fuser"):
        cls = host.component("fuser", name)
        assert issubclass(cls, Fuser)
        if cls.needs_labels or host.owner("fuser", name).origin != "bundled":
            continue
        fuser = cls.make({}, ctx)
        fuser.fit(z, None, usefulness(learned, own) if cls.wants_audition else None)
        cut = thresholder.cut(fuse(fuser, z, np.isfinite(z)), budget)
        hurt = with_fused(judged, lambda rows, f=fuser: fuse(f, rows, np.isfinite(rows))).fused  # type: ignore[misc]
        false = float((fuse(fuser, judged.clean, np.isfinite(judged.clean)) > cut).mean())
        found[name] = float(np.maximum((hurt > cut).mean(axis=2) - false, 0.0).mean())
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
