"""Scores of aeon's detectors of anomalous series in a collection, for files of records; run by an interpreter with aeon.

Usage: python aeon_scores.py FOLDER. For every ``NAME.npz`` there with ``x`` (n, C, T) and ``seed`` it writes
``NAME.out.npz``: ``names`` (k,), ``scores`` (k, n) larger = worse, NaN for a detector that failed, ``errors`` (k,), and
the ``version`` of aeon. Fitted and judged on the same records, default settings.

ROCKAD: random convolutional kernels and bags of nearest neighbours (Theissler, Wengert, Gerschner, IDA 2023).
OutlierDetectionAdapter: a detector of scikit-learn on the samples; it says no more than yes or no, 0 for an outlier.
aeon's third, ClassificationAdapter, learns from labels; its others score the points of one series, not records.
"""

import sys
from pathlib import Path

import aeon
import numpy as np
from aeon.anomaly_detection.collection import ROCKAD, OutlierDetectionAdapter
from sklearn.ensemble import IsolationForest


def rockad(x, seed):
    """(n,) from (n, C, T)."""
    detector = ROCKAD(random_state=seed)
    return detector.fit(x).predict(x)


def isolation_forest(x, seed):
    """(n,) from (n, C, T), the channels one behind the other: the adapter takes one."""
    flat = x.reshape(len(x), 1, -1)
    return -OutlierDetectionAdapter(IsolationForest(), random_state=seed).fit(flat).predict(flat)


DETECTORS = {"rockad": rockad, "isolation_forest": isolation_forest}

for path in sorted(Path(sys.argv[1]).glob("*.npz")):
    with np.load(path, allow_pickle=False) as file:
        x, seed = file["x"].astype(np.float64), int(file["seed"])
    scores, errors = np.full((len(DETECTORS), len(x)), np.nan), [""] * len(DETECTORS)
    for i, detect in enumerate(DETECTORS.values()):
        try:
            scores[i] = detect(x, seed)
        except Exception as error:  # a peer that fails is told, and the others go on
            errors[i] = f"{type(error).__name__}: {error}"
    out = {"names": list(DETECTORS), "scores": scores, "errors": errors, "version": aeon.__version__}
    np.savez(path.with_suffix(".out.npz"), **{name: np.asarray(value) for name, value in out.items()})
