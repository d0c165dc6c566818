"""LSTM auto-encoder: it keeps records apart, reads records and vectors in patches, and finds heart beats."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibro.api import Context
from vibro_plugins.detectors.lstm_ae import AutoEncoder, LstmAe

from .networks import task

TASK = task("lstm_ae")


def test_trap_51_records_do_not_mix():
    net = AutoEncoder(8, 12, 3).eval()
    a, b = torch.randn(4, 12, 8), torch.randn(4, 12, 8)
    a[2] = b[2]
    torch.testing.assert_close(net(a)[2], net(b)[2])


def test_patches_of_records_and_of_vectors():
    records = TASK.fit[:60, :8].reshape(60, 2, 24)
    detector = TASK.fitted(records, patch=5, epochs=2)
    assert detector.state()["centre"].shape == (5, 10)
    vectors = TASK.fitted(TASK.fit[:60].reshape(60, 72), patch=10, epochs=2)
    assert vectors.state()["centre"].shape == (8, 10)
    assert np.isfinite(vectors.score(np.full((2, 72), 3e38, np.float32))).all()
    last = TASK.fit[:60].reshape(60, 72).copy()
    last[:, 70:] += 100
    assert (vectors.score(last) > 2 * vectors.score(TASK.fit[:60].reshape(60, 72))).all()
    with pytest.raises(ValueError, match="those of the fit"):
        vectors.score(np.zeros((2, 81), np.float32))


def test_a_longer_vector_has_longer_patches_not_more_steps():
    shapes = []
    for values in (1200, 9600):
        x = np.random.default_rng(0).standard_normal((60, values)).astype(np.float32)
        detector = LstmAe.make({"hidden": 2, "code": 1, "epochs": 0}, Context(seed=0))
        detector.fit(x)
        shapes.append(detector.state()["centre"].shape)
    assert shapes == [(48, 25), (64, 150)]


@pytest.mark.slow
def test_ecg5000_in_the_protocol_of_the_reference(real):
    """Fit on the first 80 % of normals in file order, cut from a part of them kept out of the fit; test on all the rest."""
    from sklearn.metrics import f1_score, roc_auc_score

    data = real("ecg5000")
    x, label = data["signals"][:, None, :], data["label"]
    normal = np.flatnonzero(label == 0)
    first = np.random.default_rng(0).permutation(normal[: int(0.8 * len(normal))])
    test = np.setdiff1d(np.arange(len(x)), first)
    detector = LstmAe.make({"patch": 10, "epochs": 60}, Context(seed=0))
    detector.fit(x[first[300:]])
    score = detector.score(x[test])
    cut = np.quantile(detector.score(x[first[:300]]), 0.95)
    assert roc_auc_score(label[test], score) >= 0.985
    assert f1_score(label[test], score > cut) >= 0.98
