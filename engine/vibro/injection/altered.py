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
from vibro.core.task import ArrayRef, ScoreTask
from vibro.core.views import ViewStore
from vibro.core.worker import score_task
from vibro.data import SignalBatch
from vibro.scoring.instants import instant_numbers


def score_altered(
    engine: Engine, detectors: FittedDetectors, states: Mapping[str, State], copies: SignalBatch, purpose: str
) -> dict[str, NDArray[np.float64]]:
    """Raw scores (n,) of the copies by every detector with a state; one that cannot take them is left out and noted.

    ``copies``: altered records of the batch, under their ids. A detector that judges a record by its companions gets those
    as they were. ``purpose`` names the check in the note.
    """
    everyone, ctx = survivors_of(detectors.plan, tuple(states)), replace(engine.ctx, fs=copies.fs)
    together = [d.id for d in everyone.detectors if everyone.needs_companions(d.id)]
    scores: dict[str, NDArray[np.float64]] = {}
    for company in (False, True):
        plan = survivors_of(everyone, [d.id for d in everyone.detectors if (d.id in together) == company])
        if not plan.detectors:
            continue
        batch, instant = in_company(detectors.batch, copies) if company else (copies, None)
        store = ViewStore(batch, plan.make_extractors(ctx), plan.readers, states=detectors.views, instant=instant)
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
                scores[d.id] = result.scores[: len(copies)]
    return scores


def in_company(batch: SignalBatch, copies: SignalBatch) -> tuple[SignalBatch, NDArray[np.intp]]:
    """The copies, then for each record that was copied its companions in the batch; and the number of every row's instant.

    All copies of one record stand at one instant, each beside the same companions.
    """
    number, order = instant_numbers(batch, {}), np.argsort(batch.ids, kind="stable")
    origin = order[np.searchsorted(batch.ids[order], copies.ids)]
    originals, of = np.unique(origin, return_inverse=True)
    rows, instant = [], [np.where(number[origin] >= 0, of, -1)]
    for i, row in enumerate(originals):
        mine = np.flatnonzero((number == number[row]) & (batch.sensor != batch.sensor[row]) & (number >= 0))
        rows.append(mine)
        instant.append(np.full(len(mine), i))
    company = batch.take(np.concatenate(rows))
    return copies.followed_by(company), np.concatenate(instant)
