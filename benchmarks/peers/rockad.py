"""Scores of aeon's ROCKAD for records in a file, written to a file; run by an interpreter that has aeon, not vibro.

Usage: python rockad.py IN.npz OUT.npz. IN: ``x`` (n, C, T) and ``seed``. OUT: ``score`` (n,) and the version of aeon.
ROCKAD (Theissler, Wengert, Gerschner, IDA 2023): random convolutional kernels, bags of nearest neighbours; default settings.
"""

import sys

import aeon
import numpy as np
from aeon.anomaly_detection.collection import ROCKAD

with np.load(sys.argv[1], allow_pickle=False) as file:
    x, seed = file["x"].astype(np.float64), int(file["seed"])
detector = ROCKAD(random_state=seed)
detector.fit(x)
np.savez(sys.argv[2], score=np.asarray(detector.predict(x), np.float64), version=np.array(aeon.__version__))
