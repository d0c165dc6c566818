"""Traps that all five networks share: what a training may look at, and what of a record must reach its score.

Traps that cannot occur here:

- 27 (a view that is None): a feature extractor without ``transform`` cannot be made, ``engine/vibro/views.py`` guards the
  shape of what it returns, and every detector reads its view from the one ``ViewStore``.
- 28 to 33 (formats of real and pseudo labels, validation, unfreezing, frozen norms, weights of absent classes, samplers):
  there is no third stage that learns from pseudo-labels; no network is frozen or has batch statistics; the one that takes
  labels, ``deep_sad``, reads all rows from one view and refuses labels without anomalous or without other rows
  (``test_deep_svdd.py``).
- 35 (slices of a fixed rate) concerns ``zerone``: ``test_features_zerone.py``.
- 54 (prevalence) and 55 (figures that nobody can trace) concern what is published: ``vibro benchmark`` writes average
  precision with its prior and trivial baselines beside it, ``benchmarks/`` commit and versions with every table.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from vibro.api import Context, NotFittedError, check_settings
from vibro.core.engine import Engine
from vibro.core.folds import make_rows
from vibro.core.planning import make_plan
from vibro.core.worker import ArrayRef, FitTask, fit_task
from vibro.data import make_batch
from vibro.host.manager import PluginHost
from vibro.injection.fit import fit_ensemble
from vibro.runs.summary import realised
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import INVALID
from vibro_plugins.deep import training as _torch
from vibro_plugins.detectors.contrastive import Contrastive
from vibro_plugins.detectors.deep_svdd import DeepSvdd
from vibro_plugins.detectors.hetero_vae import HeteroVae
from vibro_plugins.detectors.lstm_ae import LstmAe
from vibro_plugins.detectors.tadgan import TadGan

H, W = np.linspace(0, 2 * np.pi, 8, endpoint=False)[:, None], np.linspace(0, 2 * np.pi, 20, endpoint=False)


def images(n, seed):
    """(n, 1, 8, 20): two patterns of random amplitude and noise."""
    rng = np.random.default_rng(seed)
    patterns = np.stack([np.sin(H) * np.cos(W), np.cos(H) + 0 * W])
    x = np.einsum("nk,khw->nhw", rng.uniform(-2, 2, (n, 2)), patterns) + 0.3 * rng.standard_normal((n, 8, 20))
    return x[:, None].astype(np.float32)


def vectors(n, seed):
    """The same, line after line: (n, 160)."""
    return images(n, seed).reshape(n, -1)


NETWORKS = {
    "deep_svdd": (DeepSvdd, images, {"width": 4, "code": 8, "pretrain": 2, "batch": 16, "lr": 0.003}),
    "hetero_vae": (HeteroVae, images, {"width": 4, "latent": 2, "warm_up": 0, "batch": 16, "lr": 0.01}),
    "tadgan": (TadGan, vectors, {"width": 4, "batch": 8, "lr": 0.01, "critic_steps": 2}),
    "contrastive": (Contrastive, images, {"width": 4, "code": 8, "batch": 12, "lr": 0.005}),
    "lstm_ae": (LstmAe, vectors, {"patch": 20, "hidden": 16, "code": 4, "batch": 8, "lr": 0.01}),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("tadgan", "contrastive")]
STOPPING = ["hetero_vae", "lstm_ae", *SLOW]  # deep_svdd holds no row out: it keeps its last weights


def fitted(name, epochs, x, y=None):
    cls, _, small = NETWORKS[name]
    detector = cls.make({**small, "epochs": epochs}, Context())
    detector.fit(x, y)
    return detector


@pytest.mark.parametrize("name", NETWORKS)
def test_trap_10_the_level_of_a_record_reaches_its_score(name):
    """No network scales a record by itself: three times as large is far from normal, however alike in shape."""
    make = NETWORKS[name][1]
    detector, x = fitted(name, 2, make(90, 0)), make(60, 1)
    assert np.median(detector.score(3 * x)) > np.quantile(detector.score(x), 0.95)


@pytest.mark.parametrize("name", NETWORKS)
def test_trap_26_reference_scores_are_of_rows_that_were_not_trained_on(name):
    cls, make, small = NETWORKS[name]
    seen = []

    class Watched(cls):
        def fit(self, x, y=None):
            seen.append(np.array(x))
            super().fit(x, y)

    x, fold = make(190, 0), (np.arange(190) % 5).astype(np.int8)
    settings = {**small, "epochs": 1}
    task = FitTask(
        "d",
        Watched,
        check_settings(cls.Params, settings, "d"),
        Context(),
        ArrayRef(x),
        np.arange(190),
        fold,
        cross_fit=cls.cross_fit,
    )
    reference = fit_task(task).reference
    judged = np.flatnonzero(np.isfinite(reference))
    trained = {row.tobytes() for part in seen for row in part}
    assert len(judged) == 38 and not trained & {x[i].tobytes() for i in judged}


@pytest.mark.parametrize("name", STOPPING)
def test_trap_53_rows_that_stop_a_training_are_not_trained_on(name, monkeypatch):
    """With trap 26: training, stopping and calibration each have rows of their own; judged rows are none of them."""
    module = sys.modules[NETWORKS[name][0].__module__]
    held, trained = [], []
    split, minibatches = module.split, _torch.minibatches

    def split_seen(n, ctx, rng):
        parts = split(n, ctx, rng)
        held.extend(parts[0])
        return parts

    def minibatches_seen(rows, size, rng):
        trained.extend(rows)
        return minibatches(rows, size, rng)

    monkeypatch.setattr(module, "split", split_seen)
    monkeypatch.setattr(module if hasattr(module, "minibatches") else _torch, "minibatches", minibatches_seen)
    cls, make, small = NETWORKS[name]
    groups = np.arange(90) // 3
    cls.make({**small, "epochs": 7}, Context(groups=groups)).fit(make(90, 0))
    assert len(held) == 9 and trained and not set(groups[held]) & set(groups[trained])
    assert set(trained) <= set(range(90))


@pytest.mark.parametrize("name", NETWORKS)
def test_trap_44_labels_are_not_looked_at(name):
    cls, make, _ = NETWORKS[name]
    x = make(60, 0)
    y = np.arange(60, dtype=np.int16) % 2
    assert not cls.needs_labels
    assert np.array_equal(fitted(name, 1, x, y).score(x), fitted(name, 1, x).score(x))


@pytest.mark.parametrize("name", ["lstm_ae", "tadgan", "contrastive"])
def test_trap_52_the_weights_of_the_best_look_are_put_back(name, monkeypatch):
    """The LSTM-AE reference keeps the best model and scores with the last one."""
    module, seen = sys.modules[NETWORKS[name][0].__module__], []

    class Told(_torch.EarlyStopping):
        def stop(self, loss):
            seen.append(_torch.arrays(self.module))
            return super().stop([3.0, 1.0, 2.0, 2.0][len(seen) - 1])

    monkeypatch.setattr(module, "EarlyStopping", Told)
    state = fitted(name, 4, NETWORKS[name][1](90, 0)).state()
    assert len(seen) == 4
    same = [all(np.array_equal(state[key], value) for key, value in weights.items()) for weights in seen]
    assert same == [False, True, False, False]


def test_trap_23_shares_above_the_cuts_are_counted_and_not_claimed():
    """As a comment of the reference plan does: "about 5 %"."""
    verdict = SimpleNamespace(
        score=np.append(np.arange(100.0), [1e3, np.nan]), level=np.append(np.zeros(100), [INVALID, 0])
    )
    assert realised(verdict, Cuts(89.5, 97.5, np.zeros(1))) == {
        "attention": 0.1,
        "alarm": 0.02,
    }  # of valid records with a score, whatever the budget


def test_trap_44_thresholds_come_from_budgets_and_not_from_labels():
    """The GAN reference cuts where F1 on the test labels is best."""
    host = PluginHost.create(autoload=False, environ={})
    x = vectors(200, 0)
    batch, y = make_batch(x[:, None], fs=160.0), (np.arange(200) < 40).astype(np.int16)
    use = {"use": "lstm_ae", "view": "raw", **NETWORKS["lstm_ae"][2], "epochs": 30, "batch": 16}
    table = {"detectors": [use], "fuser": {"use": "weighted_mean"}, "thresholder": {"use": "quantile"}}
    table |= {"budgets": {"attention": 0.1, "alarm": 0.04}}
    plan = make_plan(host, "one", table)
    cuts = []
    for labels in (None, y):
        engine = Engine(host, Context())
        model, report, _ = fit_ensemble(engine, plan, batch, make_rows(batch), labels, sensitivity=False, trial=False)
        cuts.append((model.cuts.attention, model.cuts.alarm))
        fused = model.reference["fused"]
        assert report.rows["reference"] == len(fused) == 40 and report.rows["fit"] == 200  # as the manifest names them
        assert 0.03 < np.mean(fused > model.cuts.attention) < 0.2  # a budget of 0.1; the labels say 0.2
    assert cuts[0] == cuts[1] and cuts[0][0] < cuts[0][1]


@pytest.mark.parametrize("name", NETWORKS)
def test_trap_01_every_public_path_runs(name):
    cls, make, small = NETWORKS[name]
    x = make(60, 0)
    blank = cls.make(small, Context())
    for use in (lambda: blank.score(x), blank.state, blank.health):
        with pytest.raises(NotFittedError, match=name):
            use()
    detector = fitted(name, 1, x)
    back = cls.make({**small, "epochs": 1}, Context())
    back.load_state(detector.state())
    assert detector.score(x).shape == (60,) and detector.score(x).dtype == np.float64
    assert back.health() == detector.health() and "failed" in detector.health()
