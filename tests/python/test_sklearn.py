"""``EnsembleDetector``: scikit-learn's own checks, run whole, and the same scores as ``vibro.fit``."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import vibro
from vibro.sklearn import EnsembleDetector

EXPECTED_TO_FAIL: dict[str, str] = {}  # name of a check -> reason; none of scikit-learn 1.9 fails


@parametrize_with_checks([EnsembleDetector()], expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL)
def test_check_estimator(estimator, check):
    check(estimator)


def signals(n: int = 90, samples: int = 256, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.sin(0.3 * np.arange(samples) + rng.uniform(0, 6, (n, 1))) + 0.3 * rng.standard_normal((n, samples))
    x[4] *= 4
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("ensemble") / "one.toml"
    path.write_text('detectors = [{ use = "mahalanobis", view = "spectrum" }]\n')
    return str(path)


@pytest.mark.parametrize("channels", [1, 2])
def test_scores_and_verdicts_are_those_of_a_run(channels, ensemble):
    x = signals() if channels == 1 else np.stack([signals(), signals(seed=1)], axis=1)
    run = vibro.fit(x, fs=1000.0, ensemble=ensemble, budget=0.02)
    found = EnsembleDetector(fs=1000.0, ensemble=ensemble, budget=0.02).fit(x)
    assert np.array_equal(-found.score_samples(x), run.verdicts["score"])
    assert found.offset_ == -run.summary["thresholds"]["cuts"]["alarm"]
    assert found.predict(x)[4] == -1 and (found.predict(x) == 1).mean() > 0.9


def test_short_rows_are_taken_as_features_and_signals_as_signals():
    x = np.random.default_rng(0).normal(size=(60, 8))
    x[5] += 9
    features = EnsembleDetector().fit(x)
    assert features.ensemble_ == "features" and features.predict(x)[5] == -1
    assert EnsembleDetector(fs=1000.0).fit(signals(samples=64)).ensemble_ == "quick"


def test_pipelines_and_searches_work(ensemble):
    x = signals()
    chain = make_pipeline(StandardScaler(), EnsembleDetector(fs=1000.0, ensemble=ensemble)).fit(x)
    assert chain.predict(x)[4] == -1
    search = GridSearchCV(
        EnsembleDetector(fs=1000.0, ensemble=ensemble),
        {"budget": [0.01, 0.1]},
        scoring=lambda estimator, X, y: (estimator.predict(X) == y).mean(),
        cv=2,
    )
    y = np.ones(len(x))
    y[4] = -1
    assert search.fit(x, y).best_score_ > 0.5


@pytest.mark.parametrize(
    ("given", "x", "text"),
    [
        ({"ensemble": "quik"}, signals(), "quik"),
        ({"budget": 2.0}, signals(), "no share"),
        ({}, signals(8), "n_samples = 8"),
        ({}, signals() * np.inf, "infinity"),
        ({}, np.zeros((30, 1)), "1 feature"),
        ({}, signals() * 1e30 * np.float64(1e30), "infinity"),
    ],
)
def test_bad_input_is_a_value_error(given, x, text):
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=text):
        EnsembleDetector(**{"fs": 1000.0, **given}).fit(x)
