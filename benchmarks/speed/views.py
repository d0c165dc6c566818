"""What the benchmarks of views share: the views, the records they are made from, and the store that makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

LENGTH, FS, SENSORS, SIMULATED = 8192, 8192.0, 30, 300
VIEWS: Mapping[str, Any] = {
    "mains": "mains",
    "spectrum": "spectrum",
    "zerone": "zerone",
    "zerone_image": "zerone_image",
    "cwt_image classic": {"use": "cwt_image", "layout": "classic"},
    "cwt_image v2": "cwt_image",
    "hetero": "hetero",
    "cycles": "cycles",
    "envelope": "envelope",
    "order_spectrum": "order_spectrum",
    "per_sensor(zerone)": {"use": "per_sensor", "of": "zerone"},
    "conditioned(zerone)": {"use": "conditioned", "of": "zerone"},
}


def write_records(path: Path, records: int) -> None:
    """Some hundred simulated records again and again, each time with other noise, as a ``.npy`` file."""
    from vibro.simulate.simulate import simulate

    made = simulate(records=SIMULATED, seed=0, length=LENGTH).x.reshape(SIMULATED, 1, LENGTH).astype(np.float32)
    level = np.float32(0.05) * made.std(axis=2, keepdims=True)
    rng = np.random.default_rng(0)
    with path.open("wb") as out:
        header = {"descr": "<f4", "fortran_order": False, "shape": (records, 1, LENGTH)}
        np.lib.format.write_array_header_1_0(out, header)
        for start in range(0, records, SIMULATED):
            part = made + level * rng.standard_normal(made.shape, np.float32)
            out.write(part[: records - start].astype("<f4").data)


def batch_of(path: Path) -> Any:
    """The records as a run sees them: a map of the samples, sensors, times, and load, temperature and speed."""
    from vibro.data import make_batch

    x = np.load(path, mmap_mode="r")
    rng, rows = np.random.default_rng(1), np.arange(len(x))
    ranges = ((0.5, 0.2), (40.0, 5.0), (1500.0, 5.0))
    index = make_batch(
        rows[:, None].astype(np.float32),
        fs=FS,
        sensor=[f"s{i % SENSORS:02d}" for i in rows],
        time=np.datetime64("2024-01-01", "ns") + rows.astype("timedelta64[m]"),
        covariates=np.stack([rng.normal(*ab, len(x)) for ab in ranges], axis=1).astype(np.float32),
        covariate_names=("load", "temperature", "speed"),
    )
    return replace(index, x=x)


def compute(view: str, batch: Any, folder: Path, cache: Path | None = None) -> np.ndarray:
    """The array of a view by a fresh store that keeps 1 GiB in memory, as a run has it."""
    from vibro.api import view_key
    from vibro.context import Context
    from vibro.core.view_graph import inputs_of, order_views
    from vibro.core.views import ViewStore
    from vibro.host.manager import PluginHost
    from vibro.store.viewcache import ViewCache

    host = PluginHost.create(autoload=False)
    top, ctx = view_key(VIEWS[view]), Context(fs=batch.fs)
    extractors: dict[Any, Any] = {}

    def below(key: Any) -> Any:
        made = host.component("feature", key.name).make(key.settings, ctx)
        extractors[key] = made
        return inputs_of(type(made), made.params)

    _, readers = order_views([top], below)
    readers[top] += 1
    kept = ViewCache(cache) if cache else None
    rows = np.arange(len(batch))
    return ViewStore(batch, extractors, readers, fit_rows=rows, folder=folder, cache=kept).get(top)
