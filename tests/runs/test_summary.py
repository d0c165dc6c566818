"""The summary of a run: figures that are counted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from vibro.core.fitted import FitReport
from vibro.core.task import DetectorResult
from vibro.runs.counts import realised
from vibro.runs.fit import undone
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import INVALID


def test_trap_23_shares_above_the_cuts_are_counted_and_not_claimed():
    """As a comment of the reference plan does: "about 5 %"."""
    score = np.append(np.arange(100.0), [1e3, np.nan])
    verdict = SimpleNamespace(score=score, persistent=score, level=np.append(np.zeros(100), [INVALID, 0]))
    shares = realised(verdict, Cuts(89.5, 97.5, np.zeros(1)))
    assert shares == {"attention": 0.1, "alarm": 0.02}  # of valid records with a score, whatever the budget


def test_networks_whose_training_was_undone_are_named_once():
    """Those that are not used are told of elsewhere."""
    kept = [DetectorResult(name, health={"epoch": 0.0}, loss=(0.4,)) for name in ("tadgan", "lstm_ae")]
    others = [DetectorResult("deep_svdd", health={"epoch": 3.0}), DetectorResult("knn")]
    others.append(DetectorResult("untrained", health={"epoch": 0.0}))  # as epochs = 0 asks for
    lost = DetectorResult("contrastive", "excluded", "health check failed", health={"epoch": 0.0, "failed": 1.0})
    said = undone(FitReport((*kept, *others, lost), (), {}, {}))
    assert said == ["training told held-out records from disturbed copies no better, and was undone: tadgan, lstm_ae"]
    assert undone(FitReport((*others, lost), (), {}, {})) == []
