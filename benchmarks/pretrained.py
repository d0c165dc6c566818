"""The pre-trained encoder where records or labels are few.

    python -m benchmarks.pretrained [pools|classes] [seeds=1] [names=pretrained,untrained]

``pools``: average precision of the networks of ``default`` on pools of 50 and 120 records of the suite ``pools``, each alone,
fitted and judged in place, suspicious rows kept from them as in ``default``; ``untrained`` is ``pretrained`` with weights that
were never trained. A pool counts where it holds 40 to 150 records; rows of networks not in ``names`` are kept.
``classes``: macro F1 of a logistic regression from five labels a class, on codes of the encoder, on the profiles that it reads
and on ``spectrum``; half of the recordings of each class are labelled, the others judged; views are in units of normal records.
Data lie below the folder VIBRO_TEST_DATA.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, table, write
from benchmarks.deep_pools import NETWORKS, POOLS, drawn

NAMES = (*NETWORKS, "pretrained", "untrained")
SIZES, LEAST, MOST = (50, 120), 40, 150
CLASSES = {"cwru_0hp": 1024, "adi_motor": 4096, "mfpt": 8192}  # samples of a record
LABELS, DRAWS = 5, 10


def untrained(folder: Path) -> Path:
    """A file of weights that were never trained."""
    import torch

    from vibro_plugins.deep.encoder import Encoder
    from vibro_plugins.deep.training import arrays
    from vibro_plugins.deep.weights import dump_weights

    torch.manual_seed(0)
    path = folder / "untrained.safetensors"
    path.write_bytes(dump_weights(arrays(Encoder(), ""), {}))
    return path


def pools(seeds: int, names: list[str]) -> Iterator[dict[str, Any]]:
    """Average precision of these networks on each small pool."""
    from vibro.benchmark.metrics import score_table
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.planning import make_plan
    from vibro.host.manager import PluginHost
    from vibro.injection.disturbed import disturb_rows

    host = PluginHost.create(autoload=False)
    default = host.registry.ensemble("default")
    members = {e.get("id", e["use"]): dict(e) for e in default["detectors"]}
    suspects = default.get("suspects", [])
    with TemporaryDirectory() as folder:
        members["untrained"] = {**members["pretrained"], "id": "untrained", "weights": str(untrained(Path(folder)))}
        entries = [members[name] for name in (*suspects, *names)]
        plan = make_plan(
            host, "networks", {"detectors": entries, "fuser": {"use": "weighted_mean"}, "suspects": suspects}
        )
        for place in POOLS:
            for size, seed in ((size, seed) for size in SIZES for seed in range(seeds)):
                data, rows, judged = drawn(*place.split("/"), seed, size)[:3]
                if not LEAST <= len(rows.fit) <= MOST:
                    continue
                engine, y = Engine(host, Context(seed=seed, fs=data.batch.fs)), data.y[judged]
                copies = disturb_rows(data.batch, rows.by_id(data.batch).fit, engine.ctx.child("disturbed").seed)
                for name, result in engine.fit_detectors(plan, data.batch, rows, copies=copies).results.items():
                    row = {"pool": place, "records": len(rows.fit), "seed": seed, "name": name, "reason": result.reason}
                    if name not in suspects and result.status == "ok":
                        row["ap"] = float(score_table(y, result.scores[None, judged])["average_precision"][0])
                    if name not in suspects:
                        yield row


def classes() -> Iterator[dict[str, Any]]:
    """Macro F1 of each view on each set."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import StandardScaler

    from vibro.api import Context
    from vibro_plugins.deep.encoder import Departures, encoder_of
    from vibro_plugins.deep.weights import read_weights
    from vibro_plugins.features.profile import Profile
    from vibro_plugins.features.spectrum import Spectrum
    from vibro_plugins.stats.sensor_scale import SensorScale

    with TemporaryDirectory() as folder:
        nets = {
            "codes": encoder_of(read_weights()[0]),
            "codes, untrained": encoder_of(read_weights(untrained(Path(folder)))[0]),
        }
    for name, window in CLASSES.items():
        file = np.load(Path(os.environ["VIBRO_TEST_DATA"]) / name / f"{name}.npz", allow_pickle=False)
        count = min(2, file["signals"].shape[1] // window)
        raw = {"raw": file["signals"][:, : count * window].reshape(-1, 1, window)}
        kind, recording, sensor = (np.repeat(file[key], count) for key in ("fault_type", "source_file", "sensor_id"))
        sensor, normal = np.unique(sensor, return_inverse=True)[1].astype(np.intp), kind == "normal"
        scaled = {}
        for view in (Spectrum, Profile):
            x = view.make({}, Context()).transform(raw).astype(np.float64)
            scaled[view.name] = SensorScale.fit(x[normal], sensor[normal], 50.0).apply(x, sensor, 12.0)
        seen = Departures.fit(scaled["profile"][normal]).apply(scaled["profile"])
        for label, net in nets.items():
            with torch.no_grad():
                scaled[label] = net(torch.from_numpy(np.ascontiguousarray(seen)))[0].numpy()
        scaled["codes and spectrum"] = np.concatenate([scaled["codes"], scaled["spectrum"]], axis=1)
        for draw in range(DRAWS):
            rng, shown, judged = np.random.default_rng(draw), [], []
            for one in np.unique(kind):
                names = rng.permutation(np.unique(recording[kind == one]))
                taught = np.isin(recording, names[: len(names) // 2])
                if len(names) > 1:
                    shown.append(rng.permutation(np.flatnonzero((kind == one) & taught))[:LABELS])
                    judged.append(np.flatnonzero((kind == one) & ~taught))
            rows, rest = np.concatenate(shown), np.concatenate(judged)
            for view, x in scaled.items():
                z = StandardScaler().fit_transform(x)
                found = LogisticRegression(max_iter=1000).fit(z[rows], kind[rows]).predict(z[rest])
                yield {
                    "set": name,
                    "classes": len(shown),
                    "draw": draw,
                    "view": view,
                    "f1": float(f1_score(kind[rest], found, average="macro")),
                }


def shown_pools(rows: list[dict[str, Any]]) -> list[str]:
    """One line a pool, one column a network; the mean counts pools on which a network ran."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    places = list(dict.fromkeys((row["pool"], row["records"]) for row in rows))

    def cell(name: str, wanted: list[Any]) -> str:
        found = [r.get("ap") for r in rows if r["name"] == name and (r["pool"], r["records"]) in wanted]
        good = [ap for ap in found if ap is not None]
        return f"{np.mean(good):.3f}" + (f" on {len(good)} of {len(found)}" if len(wanted) > 1 else "") if good else "-"

    lines = [[pool, n, *(cell(name, [(pool, n)]) for name in names)] for pool, n in places]
    return table(["pool", "records", *names], [*lines, ["mean", "", *(cell(name, places) for name in names)]])


def shown_classes(rows: list[dict[str, Any]]) -> list[str]:
    """One line a set, one column a view."""
    views, sets = (list(dict.fromkeys(row[key] for row in rows)) for key in ("view", "set"))

    def mean(view: str, wanted: list[str]) -> str:
        return (
            f"{np.mean([np.mean([r['f1'] for r in rows if r['view'] == view and r['set'] == s]) for s in wanted]):.3f}"
        )

    lines = [[s, *(mean(view, [s]) for view in views)] for s in sets]
    return table(["macro F1", *views], [*lines, ["mean", *(mean(view, sets) for view in views)]])


def main(words: list[str]) -> int:
    """Measures and writes the tables."""
    options = dict(word.split("=", 1) for word in words if "=" in word)
    names = options["names"].split(",") if "names" in options else list(NAMES)
    for part in [word for word in words if "=" not in word] or ["pools", "classes"]:
        if part == "classes":
            rows = list(classes())
            write("pretrained_classes", {"rows": rows}, shown_classes(rows))
            continue
        file = RESULTS / "pretrained_pools" / "pretrained_pools.json"
        kept = json.loads(file.read_text())["rows"] if file.is_file() else []
        rows = [row for row in kept if row["name"] not in names] + list(pools(int(options.get("seeds", 1)), names))
        rows.sort(key=lambda row: (POOLS.index(row["pool"]), row["records"], row["seed"], NAMES.index(row["name"])))
        write("pretrained_pools", {"rows": rows}, shown_pools(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
