"""Toy detectors, and benchmarks of them."""

from __future__ import annotations

import csv
import json

import numpy as np

from vibro.cli import run

PLUGIN = """
import numpy as np
from vibro import hookimpl
from vibro.api import Detector

class Level(Detector):
    name = "toy_level"
    view = "raw"
    item = "c t"
    def fit(self, x, y=None):
        self.middle = np.asarray(np.median(x.std(axis=(1, 2))))
    def score(self, x):
        return np.abs(x.std(axis=(1, 2)) - self.middle).astype(np.float64)
    def state(self):
        return {"middle": self.middle}
    def load_state(self, state):
        self.middle = state["middle"]

class Peak(Level):
    name = "toy_peak"
    def score(self, x):
        return np.abs(x).max(axis=(1, 2)).astype(np.float64)

class Fragile(Peak):
    name = "toy_fragile"
    def fit(self, x, y=None):
        if self.params is not None and x.shape[0] % 2 == ODD:
            raise RuntimeError("not today")
        super().fit(x)

@hookimpl
def register_detectors(register):
    for cls in (Level, Peak, Fragile):
        register(cls)
"""


def bench(place, *more, out="out", suite="suite.toml"):
    return run(["benchmark", "run", str(place / suite), "-o", str(place / out), "--quiet", *more])


def results(place, out="out"):
    with (place / out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def relabel(place, **changes):
    """The toy recordings with other arrays."""
    with np.load(place / "toy.npz") as file:
        arrays = dict(file)
    np.savez(place / "toy.npz", **arrays | changes)


def compared(place, capsys, a="a", b="b"):
    capsys.readouterr()
    assert run(["benchmark", "compare", str(place / a), str(place / b), "--json"]) == 0
    return json.loads(capsys.readouterr().out)
