"""Probabilities that mean what they say, sets that hold the class as often as promised, and records like none before."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score

from vibro.scoring.certainty import Calibrated, Known, conformal_cuts, decided, fault_cut, logistic_curve
from vibro.scoring.marks import Look


def two_classes(n, share, seed, sharp=1.0):
    """Probabilities of a classifier taught with balanced classes, and the classes; ``sharp`` > 1: too sure of itself."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(np.int16)
    x = rng.normal(2.0 * y - 1.0, 1.0)  # log odds of balanced classes: 2 x
    p = 1 / (1 + np.exp(-2 * sharp * x))
    return np.stack([1 - p, p], axis=1), y


def off(p, y):
    """How far the mean probability of each of ten bins is from the share of faults in it, weighted by records."""
    bins = np.digitize(p, np.linspace(0, 1, 11)[1:-1])
    gaps = [abs(p[bins == b].mean() - y[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return sum(gaps)


def test_a_classifier_that_is_too_sure_becomes_calibrated():
    p, y = two_classes(4000, 0.5, 0, sharp=3.0)
    fitted = Calibrated.fit(p, y, y)
    new, truth = two_classes(20_000, 0.5, 1, sharp=3.0)
    assert off(new[:, 1], truth) > 0.08 and off(fitted(new)[:, 1], truth) < 0.02
    assert abs(fitted.power - 1 / 3) < 0.05


def test_shares_come_from_records_without_labels_and_not_from_who_was_labelled():
    p, y = two_classes(4000, 0.5, 0)
    fitted = Calibrated.fit(p, y, y)
    everyday, truth = two_classes(20_000, 0.05, 1)
    adapted = fitted.among(everyday)
    assert abs(adapted.share[1] - 0.05) < 0.01
    assert off(adapted(everyday)[:, 1], truth) < 0.01 < off(fitted(everyday)[:, 1], truth)


def test_types_that_are_hard_to_tell_apart_keep_the_shares_of_their_labels():
    """Three types of faults that the classifier tells from normal records and hardly from each other."""
    rng = np.random.default_rng(0)

    def found(y):
        x = rng.normal(2.0 * (y == 0) - 1.0, 1.0)  # log odds of normal to fault, half of the records each: 2 x
        types = np.c_[0.1 + 0.3 * rng.normal(size=len(y)), 0.3 * rng.normal(size=(len(y), 2))]
        odds = np.c_[2 * x + np.log(3), types]
        return np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)

    labelled, everyday = np.repeat(np.arange(4), 60).astype(np.int16), rng.choice(4, 5000, p=[0.7, 0.1, 0.1, 0.1])
    fitted = Calibrated.fit(found(labelled), labelled, labelled)
    adapted = fitted.among(found(everyday))
    assert abs(adapted.share[0] - 0.7) < 0.05
    assert np.allclose(adapted.share[1:], (1 - adapted.share[0]) / 3, atol=1e-3)


def test_sets_lack_the_class_no_more_often_than_stated():
    for error in (0.05, 0.1, 0.2):
        missed = []
        for seed in range(60):
            p, y = two_classes(120, 0.3, seed)
            new, truth = two_classes(2000, 0.3, 1000 + seed)
            inside = new >= conformal_cuts(p, y, error)
            missed.append([1 - inside[truth == c, c].mean() for c in (0, 1)])
        assert np.mean(missed, axis=0).max() <= error + 0.01
        assert np.mean(missed, axis=0).min() > error / 3  # and not by sets that hold everything


def test_a_class_with_too_few_labels_is_in_every_set():
    p, y = two_classes(50, 0.5, 0)
    keep = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:5]]
    cuts = conformal_cuts(p[keep], y[keep], 0.1)
    assert cuts[1] == 0 < cuts[0]


def look(signature, z):
    return Look(signature.astype(np.float32), z, np.zeros(len(z), np.int32))


def test_records_far_from_all_that_is_labelled_are_unlike_it():
    rng = np.random.default_rng(0)
    labelled = look(rng.standard_normal((60, 4)), rng.standard_normal((60, 3)))
    known = Known.fit(labelled, np.arange(60) % 6)
    alike = look(rng.standard_normal((500, 4)), rng.standard_normal((500, 3)))
    assert known.unlike(alike).mean() < 0.2
    for shift in ((8.0, 0.0), (0.0, 8.0)):
        far = look(rng.standard_normal((50, 4)) + shift[0], rng.standard_normal((50, 3)) + shift[1])
        assert known.unlike(far).all()
    unknown = look(np.full((3, 4), np.nan), np.full((3, 3), np.nan))
    assert not known.unlike(unknown).any()


def test_the_curve_rises_with_the_score_or_is_flat():
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.3).astype(np.int16)
    score = rng.normal(3.0 * y, 1.0)
    slope, offset = logistic_curve(score, y)
    p = 1 / (1 + np.exp(-(slope * score + offset)))
    assert slope > 0 and off(p, y) < 0.06
    assert logistic_curve(-score, y)[0] == 0
    assert np.isfinite(logistic_curve(np.array([1.0, np.nan, 1.0]), np.array([0, 1, 1], np.int16))).all()


def test_the_cut_of_faults_is_where_f1_is_best_for_classes_as_frequent_as_every_day():
    p, y = two_classes(4000, 0.5, 0)

    def quality(cut, share):
        new, truth = two_classes(40_000, share, 7)
        return f1_score(truth, decided(new, cut), average="macro")

    cuts = []
    for share in (0.5, 0.05):
        often = np.array([(1 - share) / 0.5, share / 0.5])
        cuts.append(fault_cut(p[:, 1], y, often[y]))
        best = max(quality(cut, share) for cut in np.linspace(0.05, 0.99, 60))
        assert quality(cuts[-1], share) > best - 0.01
    assert cuts[1] > cuts[0] + 0.1


def test_above_the_cut_the_most_probable_fault_is_named():
    p = np.array([[0.6, 0.3, 0.1], [0.6, 0.1, 0.3], [0.9, 0.1, 0.0]])
    assert decided(p, 0.35).tolist() == [1, 2, 0]
    assert fault_cut(np.array([0.2, 0.2, 0.2]), np.array([0, 1, 0], np.int16), np.ones(3)) < 0.2
