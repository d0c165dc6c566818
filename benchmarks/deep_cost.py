"""What the five networks cost in the sizes of ``default``, against the sizes of their references, in one run.

    python -m benchmarks.deep_cost [NAME ...]

Processor seconds of one thread on simulated records of 8,192 samples, so that others on the machine count little. The
references' sizes are those of the ensemble ``full``; where ``full`` itself is smaller than the reference, the settings
below are laid over it. A network of such a size is trained for a few steps of eight rows each, not to an end.
Writes ``benchmarks/results/deep_cost``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from time import process_time
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.common import RESULTS, table, where, write

NAMES = ("deep_svdd", "hetero_vae", "tadgan", "contrastive", "lstm_ae")
ROUNDS, RECORDS, BLOCK = 3, 2000, 64  # BLOCK: rows that are scored at once
STEPS, SMALL_STEP = ROUNDS + 1, 8  # steps of a training in a reference's size, and rows of each
# The reference's TadGAN reads single samples of windows of 2,048, its LSTM-AE all 8,192 samples. Patches of two are the
# shortest that tadgan takes: a quarter of the attention of single samples.
REFERENCE: Mapping[str, Mapping[str, Any]] = {
    "tadgan": {"view": "raw", "window": 2048, "critic": "transformer", "patch": 2},
    "lstm_ae": {"view": "raw", "patch": 1},
}
ENOUGH_STEPS = 8192  # of a sequence; lstm_ae itself refuses more than 1,024


def entry(host: Any, ensemble: str, name: str) -> dict[str, Any]:
    """The detector's settings in an ensemble."""
    found = next(e for e in host.registry.ensemble(ensemble)["detectors"] if e.get("id", e["use"]) == name)
    return {"use": name, **found}


def rows_of(host: Any, settings: Mapping[str, Any], records: int) -> tuple[Any, np.ndarray]:
    """The planned detector, and its view of simulated records."""
    from vibro.context import Context
    from vibro.core.planning import make_plan
    from vibro.core.views import ViewStore
    from vibro.data import make_batch
    from vibro.simulate.simulate import simulate

    made = simulate(records=records, seed=0, length=8192)
    x = made.x.reshape(len(made.x), 1, -1)
    batch = make_batch(x, fs=8192.0, sensor=[f"s{i % 30:02d}" for i in range(len(x))])
    plan = make_plan(host, settings["use"], {"detectors": [dict(settings)], "fuser": {"use": "weighted_mean"}})
    planned = plan.detectors[0]
    store = ViewStore(batch, plan.make_extractors(Context(fs=8192.0)), plan.readers, fit_rows=np.arange(len(x)))
    return planned, np.array(store.get(planned.view))


def fitted(planned: Any, x: np.ndarray, steps: int, **settings: Any) -> tuple[Any, list[float]]:
    """A detector after ``fit``, and the processor seconds between its training steps; ``steps`` per epoch if it has them."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from vibro.context import Context

    seen: dict[int, list[float]] = {}

    def note(optimizer: Any, *_: Any) -> None:
        seen.setdefault(id(optimizer), []).append(process_time())

    detector = planned.cls.make({**planned.settings, "trim": 0.0, **settings}, Context(fs=8192.0))
    module = sys.modules[planned.cls.__module__]
    torch.set_num_threads(1)
    hook = register_optimizer_step_post_hook(note)
    try:
        with ExitStack() as changed:
            if steps and hasattr(module, "STEPS"):
                changed.enter_context(patch.object(module, "STEPS", steps))
            if hasattr(module, "MOST_STEPS"):
                changed.enter_context(patch.object(module, "MOST_STEPS", ENOUGH_STEPS))
            detector.fit(x)
    finally:
        hook.remove()
    return detector, list(np.diff(max(seen.values(), key=len)))


def rate(rows: float, seconds: list[float]) -> dict[str, float]:
    """Rows per second in ``ROUNDS`` equal stretches of work of ``rows`` each: median, lowest, highest."""
    parts = [rows * len(part) / sum(part) for part in np.array_split(np.array(seconds), ROUNDS)]
    return {"median": float(np.median(parts)), "low": float(min(parts)), "high": float(max(parts))}


def scored(detector: Any, x: np.ndarray) -> list[float]:
    """Processor seconds of scoring x, ``ROUNDS`` times."""
    out = []
    for _ in range(ROUNDS):
        begun = process_time()
        detector.score(x)
        out.append(process_time() - begun)
    return out


def windows_per_record(settings: Mapping[str, Any], x: np.ndarray) -> int:
    """How many windows a record is cut into."""
    return int(x.shape[-1] // (settings.get("window") or x.shape[-1]))


def measured(host: Any, name: str, size: str) -> dict[str, Any]:
    """Parameters and records per second, trained and scored, of one network in one size."""
    large = size == "reference"
    settings = entry(host, "full" if large else "default", name) | (REFERENCE.get(name, {}) if large else {})
    records = records_for(name, STEPS * SMALL_STEP) if large else RECORDS
    planned, x = rows_of(host, settings, records)
    windows = windows_per_record(planned.settings, x)
    settings: dict[str, Any] = {"epochs": 1, "batch": SMALL_STEP} if large else {"epochs": ROUNDS}
    settings |= {key: 0 for key in ("pretrain", "warm_up") if key in planned.cls.Params.__dataclass_fields__}
    detector, seconds = fitted(planned, x, STEPS if large else 0, **settings)
    part = np.resize(x, ((1 if large else 16) * BLOCK // windows, *x.shape[1:]))
    trained = rate(detector.params.batch / windows, seconds)
    return {
        "name": name,
        "size": size,
        "commit": where()["commit"],
        "settings": planned.settings,
        "item": list(x.shape[1:]),
        "parameters": sum(v.size for k, v in detector.state().items() if k.startswith("net.")),
        "epoch_seconds": epoch(name, planned.settings, windows) / trained["median"],
        "trained": trained,
        "scored": rate(len(part), scored(detector, part)),
    }


def records_for(name: str, rows: int) -> int:
    """Records of which so many are trained on: a tenth is held out, but by deep_svdd."""
    return rows if name == "deep_svdd" else next(n for n in range(rows, 2 * rows) if n - n // 10 == rows)


def epoch(name: str, settings: Mapping[str, Any], windows: int) -> float:
    """Records of an epoch over 2,000; tadgan takes 50 steps of its critics."""
    if name == "tadgan":
        return 50 * settings.get("batch", 32) / windows
    return RECORDS if name == "deep_svdd" else 0.9 * RECORDS


def report(rows: list[dict[str, Any]]) -> list[str]:
    """Both sizes of every network, and default over reference."""
    body, ratios = [], []
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = {row["size"]: row for row in rows if row["name"] == name}
        for size, r in mine.items():
            shape = " x ".join(map(str, r["item"]))
            cells = [
                f"{r['parameters']:,}",
                f"{r['epoch_seconds']:.3g}",
                spread(r["trained"]),
                spread(r["scored"]),
                r["commit"],
            ]
            body.append([name, size, shape, *cells])
        if len(mine) == 2:
            a, b = mine["default"], mine["reference"]
            rates = [spread(over(a[key], b[key])) for key in ("trained", "scored")]
            ratios.append([name, f"{b['parameters'] / a['parameters']:.3g}", *rates])
    heads = ["", "size", "row of the view", "parameters", "seconds per epoch", "records/s trained", "records/s scored"]
    heads.append("commit")
    return [
        *table(heads, body),
        *table(["default over reference", "parameters, times fewer", "trained, times faster", "scored"], ratios),
        f"Median (lowest to highest) of {ROUNDS} rounds, processor time of one thread. Default: {ROUNDS} epochs over"
        f" {RECORDS:,} simulated records of 8,192 samples, all that an epoch takes. Reference: {ROUNDS} steps of {SMALL_STEP}"
        " rows (of tadgan: windows, four per record), from whose rate the seconds of an epoch follow.",
    ]


def over(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """How many times faster a is than b, at least and at most."""
    return {"median": a["median"] / b["median"], "low": a["low"] / b["high"], "high": a["high"] / b["low"]}


def spread(value: Mapping[str, float]) -> str:
    """Median (low to high)."""
    return "{median:.3g} ({low:.3g} to {high:.3g})".format(**value)


def main(names: list[str]) -> int:
    """Measures the named networks, all without a name, and writes the table."""
    from vibro.host.manager import PluginHost

    if not set(names) <= set(NAMES):
        print(__doc__, file=sys.stderr)
        return 2
    file = RESULTS / "deep_cost" / "deep_cost.json"
    rows = json.loads(file.read_text())["rows"] if file.is_file() else []
    host = PluginHost.create(autoload=False)
    for name in names or NAMES:
        found = [measured(host, name, size) for size in ("default", "reference")]
        rows = sorted([r for r in rows if r["name"] != name] + found, key=lambda r: NAMES.index(r["name"]))
        write("deep_cost", {"rows": rows}, report(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
