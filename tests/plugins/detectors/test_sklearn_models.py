"""Detectors of scikit-learn by their class path."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from vibro.api import ConfigError, Context, NotApplicableError
from vibro_plugins.detectors import sklearn_models
from vibro_plugins.detectors.sklearn_models import Sklearn, find_class

MODELS = {
    "sklearn.ensemble.IsolationForest": {"n_estimators": 30},
    "sklearn.svm.OneClassSVM": {"nu": 0.1},
    "sklearn.neighbors.LocalOutlierFactor": {"n_neighbors": 10},
    "sklearn.covariance.EllipticEnvelope": {},
    "sklearn.linear_model.SGDOneClassSVM": {},
    "sklearn.neighbors.KernelDensity": {"bandwidth": 1.5},
    "sklearn.mixture.GaussianMixture": {"n_components": 2},
}


def made(model: str, seed: int = 3, **settings) -> Sklearn:
    return Sklearn.make({"model": model, "settings": settings}, Context(seed=seed))


def rows(n: int = 120, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)
    x[:3] += 8
    return x * np.float32([1, 10, 100, 1, 1, 1])


@pytest.mark.parametrize("model", MODELS)
def test_a_model_finds_what_lies_far_out_and_comes_back_from_its_state(model):
    detector, train, new = made(model, **MODELS[model]), rows()[3:], rows(seed=1)
    detector.fit(train)
    scores = detector.score(new)
    assert np.median(scores[:3]) > np.quantile(scores[3:], 0.9)
    again = made(model, **MODELS[model])
    again.load_state({name: np.array(array) for name, array in detector.state().items()})
    assert np.array_equal(again.score(new), scores)
    assert np.array_equal(detector.score(new[5:9]), scores[5:9])  # whatever is scored with them


@pytest.mark.parametrize(
    "path",
    [
        *("os.system", "subprocess.Popen", "builtins.eval", "antigravity.x", "sklearn.utils.os.system"),
        *(
            "IsolationForest",
            "",
            "..sklearn.svm.OneClassSVM",
            "sklearn.svm._classes.OneClassSVM",
            "sklearn.svm.Nothing",
        ),
        *("sklearn.svm.SVC", "sklearn.preprocessing.StandardScaler", "sklearn.base.OutlierMixin", "sklearn.base.clone"),
    ],
)
def test_a_path_of_anything_else_is_refused(path):
    with pytest.raises(ConfigError) as caught:
        find_class(path)
    assert caught.value.hint


def test_a_foreign_package_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "lying_about.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="no installed package that depends on it"):
        find_class("lying_about.Detector")
    assert "lying_about" not in sys.modules


def test_a_package_that_depends_on_scikit_learn_may_offer_detectors(tmp_path, monkeypatch):
    (tmp_path / "kind_of.py").write_text(
        "from sklearn.ensemble import IsolationForest\nclass Mine(IsolationForest):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sklearn_models, "packages_distributions", lambda: {"kind_of": ["kind-of"]})
    described = type("Distribution", (), {"requires": ["scikit-learn>=1.5; extra == 'x'"]})
    monkeypatch.setattr(sklearn_models, "distribution", lambda name: described)
    assert find_class("kind_of.Mine").__name__ == "Mine"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"trees": 3}, "no setting 'trees'"),
        ({"random_state": 1}, "no setting 'random_state'"),
        ({"n_estimators": -4}, "refuses"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(settings, text):
    with pytest.raises(ConfigError, match=text):
        made("sklearn.ensemble.IsolationForest", **settings).fit(rows())


def test_a_model_that_cannot_be_fitted_is_skipped_with_the_reason():
    with pytest.raises(NotApplicableError, match="GaussianMixture cannot be fitted"):
        made("sklearn.mixture.GaussianMixture", n_components=50).fit(rows(20))


def test_the_seed_of_the_run_decides():
    scores = []
    for seed in (1, 1, 2):
        detector = made("sklearn.ensemble.IsolationForest", seed=seed)
        detector.fit(rows())
        scores.append(detector.score(rows(seed=1)))
    assert np.array_equal(scores[0], scores[1]) and not np.array_equal(scores[0], scores[2])
