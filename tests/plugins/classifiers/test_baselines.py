"""``logistic`` and ``boosting``: what scikit-learn fitted is what the plain arrays answer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from vibro.context import Context
from vibro_plugins.classifiers.boosting import Boosting
from vibro_plugins.classifiers.logistic import Logistic


def classes(n=120, k=3, f=9, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(k), n // k).astype(np.int16)
    x = rng.standard_normal((n, f)).astype(np.float32)
    x[np.arange(n), y] += 2.5
    return x, y, np.ones(n, np.float32)


@pytest.mark.parametrize("k", [2, 3])
def test_boosted_trees_as_arrays_answer_as_scikit_learn_does(k):
    x, y, weight = classes(k=k)
    weight[::5] = 0.3
    made = Boosting.make({"trees": 30}, Context(seed=3))
    made.fit(x, y, weight)
    theirs = GradientBoostingClassifier(
        n_estimators=30,
        max_depth=3,
        learning_rate=0.05,
        subsample=0.7,
        max_features="sqrt",
        random_state=3,
        init="zero",
    ).fit(x, y, sample_weight=weight)
    new = classes(k=k, seed=1)[0]
    assert np.allclose(made.predict_proba(new), theirs.predict_proba(new), atol=1e-12)


@pytest.mark.parametrize("cls", [Logistic, Boosting])
@pytest.mark.parametrize("k", [2, 4])
def test_they_learn_several_classes_and_ignore_rows_of_weight_0(cls, k):
    x, y, weight = classes(k=k)
    wrong, w0 = y.copy(), weight.copy()
    wrong[::3], w0[::3] = (y[::3] + 1) % k, 0
    made = cls.make({}, Context(seed=1))
    made.fit(x, wrong, w0)
    new, truth, _ = classes(k=k, seed=1)
    assert (made.predict_proba(new).argmax(axis=1) == truth).mean() > 0.75


def test_a_few_labels_leave_the_ranking_of_the_ensemble_as_it_is():
    """Six labels, 300 columns of noise: the block of scores counts as much as the block of values."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 300).astype(np.int16)
    score = rng.normal(2.0 * y, 1.0)[:, None]
    x = np.hstack([rng.standard_normal((600, 300)), score]).astype(np.float32)
    weight = np.zeros(600, np.float32)
    weight[:6] = 1
    blocks, plain = (Logistic.make({}, Context(names=names)) for names in (("ensemble",), ()))
    found = []
    for made in (blocks, plain):
        made.fit(x, y, weight)
        p = made.predict_proba(x[6:])[:, 1]
        found.append(float((p[y[6:] == 1][:, None] > p[y[6:] == 0][None, :]).mean()))
    alone = float((score[6:][y[6:] == 1] > score[6:][y[6:] == 0].T).mean())
    assert found[0] > alone - 0.05 and found[0] > found[1] + 0.1


def test_a_constant_column_says_nothing():
    x, y, weight = classes()
    made = Logistic.make({}, Context())
    made.fit(np.hstack([x, np.full((len(x), 1), 7, np.float32)]), y, weight)
    p = [made.predict_proba(np.hstack([x, np.full((len(x), 1), v, np.float32)])) for v in (7, 1e6)]
    assert np.array_equal(p[0], p[1])
