"""Classifiers of records against disturbed copies: what is held out, what is learned, what cannot be learned."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context, Disturbed, NotApplicableError, NotFittedError
from vibro_plugins.detectors import synthetic
from vibro_plugins.detectors.synthetic import PARTS, SyntheticLinear, SyntheticTrees

BOTH = pytest.mark.parametrize("cls", [SyntheticLinear, SyntheticTrees])


def rows(n=100, p=12, seed=0):
    return np.random.default_rng(seed).standard_normal((n, p)).astype(np.float32)


def copies_of(x, strength=2.0, each=3):
    row = np.repeat(np.arange(len(x)), each)
    raised = np.random.default_rng(1).random((len(row), x.shape[1])) < 0.3
    return Disturbed((x[row] + strength * raised).astype(np.float32), row)


def fitted(cls, x, copies, **ctx):
    detector = cls.make(dict(cls.test_settings), Context(seed=2, disturbed=copies, **ctx))
    detector.fit(x)
    return detector


@BOTH
def test_what_resembles_disturbed_copies_scores_high(cls):
    x = rows()
    detector = fitted(cls, x, copies_of(x))
    bad = rows(40, seed=5)
    bad[:, :5] += 2.0
    calm = rows(40, seed=6)
    assert np.median(detector.score(bad)) > np.quantile(detector.score(calm), 0.9)
    assert detector.health()["auc"] > 0.7 and not detector.health()["failed"]


@BOTH
def test_no_classifier_that_scores_a_row_has_seen_it_or_a_copy_of_it(cls, monkeypatch):
    x = rows()
    x[:, 0] = np.arange(len(x))  # which row it is, found again in its copies
    groups = np.arange(len(x)) // 2
    copies = copies_of(x)
    copies.x[:, 0] = copies.row
    taught = []
    made = cls.classifier

    def noted(self):
        classifier = made(self)
        fit = classifier.fit
        classifier.fit = lambda features, copied, seed: (taught.append(features[:, 0]), fit(features, copied, seed))[1]
        return classifier

    monkeypatch.setattr(cls, "classifier", noted)
    detector = fitted(cls, x, copies, groups=groups)
    which = detector._features(x)[:, 0]
    place = detector._own.find(x)
    for k in range(PARTS):
        unseen = detector._part[place] == k
        assert unseen.any() and not np.isin(which[unseen], taught[k]).any()
        assert np.isin(which[~unseen], taught[k]).all()
    assert all(len(np.unique(detector._part[place][groups == g])) == 1 for g in groups)


@BOTH
def test_copies_that_nothing_tells_from_records_fail_its_health(cls):
    x = rows(200)
    copies = Disturbed(rows(400, seed=9), np.repeat(np.arange(200), 2))
    health = fitted(cls, x, copies).health()
    assert health["failed"] == 1.0 and abs(health["auc"] - 0.5) < 0.1


@BOTH
def test_nothing_to_learn_from_is_said_in_one_sentence(cls):
    x = rows()
    with pytest.raises(NotApplicableError, match="no record could be disturbed"):
        fitted(cls, x, None)
    with pytest.raises(NotApplicableError, match="too few"):
        fitted(cls, x[:6], copies_of(x[:6]))
    with pytest.raises(NotApplicableError, match="constant"):
        fitted(cls, np.ones((30, 4), np.float32), copies_of(np.ones((30, 4), np.float32)))
    one = copies_of(x)
    with pytest.raises(NotApplicableError, match="too few records could be disturbed"):
        fitted(cls, x, Disturbed(one.x[:3], one.row[:3]))
    with pytest.raises(NotFittedError):
        cls.make({}, Context()).score(x)


@BOTH
def test_of_many_rows_those_with_copies_and_some_others_are_taught(cls, monkeypatch):
    x = rows(1000)
    few = copies_of(x[:50])
    whole = fitted(cls, x, few)
    assert "rows_used" not in whole.health()
    monkeypatch.setattr(synthetic, "MOST_ROWS", 300)
    detector = fitted(cls, x, few)
    assert detector.health()["rows_used"] == 300
    assert np.isin(np.arange(50), synthetic._taught_rows(1000, few.row)).all()
    assert (detector._own.find(x) >= 0).all()  # also a row that was not taught is known, with those of its recording
    again = cls.make(dict(cls.test_settings), Context(seed=2))
    again.load_state(detector.state())
    asked = np.concatenate([x, rows(300, seed=4)])
    assert np.array_equal(again.score(asked), detector.score(asked))
    bad = rows(100, seed=5)
    bad[:, :5] += 3.0
    assert np.median(detector.score(bad)) > np.quantile(detector.score(rows(100, seed=6)), 0.9)
