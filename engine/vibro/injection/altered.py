"""Scores of altered records by detectors that were fitted on the records as they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.core.engine import Engine
from vibro.core.fitted import FittedDetectors
from vibro.core.plan import survivors_of
from vibro.core.views import ViewStore
from vibro.core.worker import ArrayRef, ScoreTask, score_task
from vibro.data import SignalBatch


def score_altered(
    engine: Engine, detectors: FittedDetectors, states: Mapping[str, State], copies: SignalBatch, purpose: str
) -> dict[str, NDArray[np.float64]]:
    """Raw scores (n,) of the copies by every detector with a state; one that cannot take them is left out and noted.

    ``purpose`` names the check in that note.
    """
    ctx = replace(engine.ctx, fs=copies.fs)
    plan = survivors_of(detectors.plan, tuple(states))
    store = ViewStore(copies, plan.make_extractors(ctx), plan.readers, states=detectors.views)
    scores: dict[str, NDArray[np.float64]] = {}
    for d in plan.detectors:
        try:
            x = ArrayRef(store.get(d.view))
        except Exception as error:
            engine.host.log(f"note: no {purpose} for {d.id}, its view cannot take an altered record: {error}")
            continue
        result = score_task(ScoreTask(d.id, d.cls, d.params, ctx.child(d.id), x, states[d.id]))
        store.release(d.view)
        if result.scores is None:
            engine.host.log(f"note: no {purpose} for {d.id}, it failed on altered records: {result.reason}")
        else:
            scores[d.id] = result.scores
    return scores
