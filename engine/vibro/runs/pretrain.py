"""``vibro pretrain``: weights for a network, learned from unlabelled records of any machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from vibro import __version__
from vibro.api import Detector, NotApplicableError, Pool
from vibro.context import Context, Disturbed, child_seed
from vibro.core.copies import Copies
from vibro.core.plan import Plan
from vibro.core.planning import make_plan
from vibro.core.views import ViewStore
from vibro.data import SignalBatch
from vibro.errors import ConfigError, DataError
from vibro.events import StageFinished, StageStarted, TaskProgress, TaskStarted
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions, ingest
from vibro.injection.pools import LEAST, MOST, disturb_pairs, draw_pools
from vibro.io.files import scratch_folder, write_bytes

POOLS, PAIRS = 240, 200  # of all data together; of a pool


def pretrain(
    host: PluginHost,
    paths: Sequence[Path],
    reading: IngestOptions,
    out: Path,
    *,
    detector: str = "pretrained",
    seed: int = 0,
    device: str = "cpu",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Trains the detector on pools drawn from every DATA by itself and writes the weights; what they are."""
    if out.exists():
        raise ConfigError(f"{out} is there already", hint="choose another name or remove it")
    plan = make_plan(host, "pretrain", {"detectors": [{"use": detector}], "fuser": {"use": "weighted_mean"}})
    planned = plan.detectors[0]
    if planned.cls.pretrain is Detector.pretrain:
        raise ConfigError(f"detector {detector} cannot be pre-trained", hint="--detector pretrained")
    pools: list[Pool] = []
    about: list[dict[str, Any]] = []
    for i, path in enumerate(paths):
        drawn, told = _drawn(host, plan, path, reading, max(1, POOLS // len(paths)), child_seed(seed, f"data {i}"))
        say(f"{told['records']} records of {told['name']}: {told['pools']} pools of up to {MOST} records")
        pools += drawn
        about.append(told)
    header = {"detector": detector, "view": str(planned.view), "vibro": __version__, "seed": seed, "data": about}
    say(f"learning from {len(pools)} pools: minutes on one core")
    start = perf_counter()
    host.emit(StageStarted("pretrain", 1))
    host.emit(TaskStarted("pretrain", detector))

    def told_on(done: int, total: int) -> None:
        host.emit(TaskProgress("pretrain", detector, done, total))

    try:
        content = planned.cls(planned.params, Context(seed=seed, device=device, progress=told_on)).pretrain(
            pools, header
        )
    except NotApplicableError as error:
        raise DataError(error.message, hint="vibro data check shows what the records are") from None
    host.emit(StageFinished("pretrain", perf_counter() - start))
    write_bytes(out, content)
    return {"path": out, "bytes": len(content), **header}


def _drawn(
    host: PluginHost, plan: Plan, path: Path, reading: IngestOptions, count: int, seed: int
) -> tuple[list[Pool], dict[str, Any]]:
    """Pools of one DATA, and what it is, without saying where it lies; DataError where there is nothing to learn from."""
    readers = [cls.make({}, Context()) for cls in host.components("reader")]
    with scratch_folder() as folder:
        batch = ingest([path], readers, reading, folder, host.emit, side_by_side=True).batch
        pools = list(_shown(plan, batch, count, seed))
    records = int(batch.valid.sum())
    if not pools:
        few = f"{records} usable records, fewer than the {LEAST} of a pool"
        raise DataError(
            f"{path} has {few if records < LEAST else 'no record with a signal that could be disturbed'}",
            hint="leave it out, or name a folder that holds it with others as one DATA",
        )
    shape = {"channels": batch.x.shape[1], "length": batch.length, "fs": batch.fs or None, "unit": batch.unit}
    return pools, {"name": path.name, "records": records, "sensors": len(batch.sensors), **shape, "pools": len(pools)}


def _shown(plan: Plan, batch: SignalBatch, count: int, seed: int) -> Iterator[Pool]:
    """Pools drawn from a data set, and pairs of disturbed copies, as the detector's view shows them."""
    view = plan.detectors[0].view
    for i, pool in enumerate(draw_pools(batch, count, seed)):
        ctx = Context(seed=seed, fs=pool.fs)
        store = ViewStore(pool, plan.make_extractors(ctx), plan.readers, fit_rows=np.arange(len(pool)))
        x = store.get(view)

        def shown(copies: Copies, ctx: Context = ctx, store: ViewStore = store) -> Disturbed:
            extractors = plan.make_extractors(ctx)
            again = ViewStore(copies.batch, extractors, plan.readers, states=store.states)
            return Disturbed(again.get(view), copies.row)

        one, other = disturb_pairs(pool, PAIRS, child_seed(seed, f"pairs {i}"))
        if len(one.row):
            yield Pool(x, shown(one), shown(other))
