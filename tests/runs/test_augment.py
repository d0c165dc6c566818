"""Copies and generated records of rare faults: taught only where they pass for records of their class, kept only where
held-out labels gain."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Detector
from vibro.context import Context
from vibro.data import make_batch
from vibro.host.manager import PluginHost
from vibro.report.messages import known
from vibro.runs.augment import APART, FEWEST, GENERATE, INJECT, Augmented, generated, told_apart
from vibro.runs.generator import Generator, Network, network_of
from vibro.runs.lessons import Lesson, augmented
from vibro.runs.student import make_recipe, read_rows
from vibro.runs.teach import Copied, Judged, teach
from vibro.runs.truth import Truth

RNG = np.random.default_rng(0)
SIZES = (30, 5, 8, 3, 40)  # labels of the classes: normal, two rare ones, one too rare, one frequent


@pytest.fixture(scope="module")
def recipe():
    return make_recipe(PluginHost.create(), {"use": "logistic"}, ())


def labelled(sizes=SIZES):
    """Rows of 60 values around the means of their classes, in which six ways to vary are shared, and their classes."""
    rng = np.random.default_rng(1)
    means, ways = rng.normal(size=(len(sizes), 60)), rng.normal(size=(6, 60))
    y = np.repeat(np.arange(len(sizes)), sizes).astype(np.int16)
    x = means[y] + rng.normal(size=(len(y), 6)) @ ways / 2 + rng.normal(size=(len(y), 60)) / 2
    return x.astype(np.float32), y


def truth_of(y):
    """All of them labelled, but for those of class -1."""
    names = ("normal", *(f"fault {c}" for c in range(1, int(y.max()) + 1)))
    return Truth(names, y, np.zeros(len(y), bool), y >= 0, (y >= 0).astype(float))


class Memory(Detector):
    """An auto-encoder that rebuilds what it has seen and makes what ``spoil`` says of any other code."""

    name = "memory"

    def __init__(self, seen, spoil):
        self.seen, self.spoil = seen.astype(np.float64), spoil

    def encode(self, x):
        return x.astype(np.float64)

    def decode(self, codes):
        new = np.abs(codes[:, None] - self.seen).max(axis=2).min(axis=1) > 1e-4
        return np.where(new[:, None], self.spoil(codes), codes)

    def fit(self, x, y=None):
        raise AssertionError

    def score(self, x):
        raise AssertionError


def test_copies_like_their_records_are_not_told_from_them_and_others_are(recipe):
    x = RNG.normal(size=(40, 6)).astype(np.float32)
    of, half = np.repeat(np.arange(10), 7), np.arange(10) % 2
    like = (x[of] + 0.5 * RNG.normal(size=(70, 6))).astype(np.float32)
    assert told_apart(recipe, Context(), x[:10], half, like, half[of]) < APART
    assert told_apart(recipe, Context(), x[:10], half, like + 3, half[of]) > 0.95


def test_what_is_generated_of_rare_classes_passes_for_their_records_and_every_class_is_told(recipe):
    x, y = labelled()
    made = generated(recipe, x, truth_of(y), np.arange(len(x)), None, Context())
    rare, other, rarest, frequent = made.classes
    assert rare["taught"] > 20 and other["taught"] > 20 and max(rare["auc"], other["auc"]) <= APART
    assert rare["reason"] == other["reason"] == "" and made.more.few == (1, 2)
    assert rarest["reason"].startswith(f"fewer than {FEWEST} labels") and not rarest["taught"]
    assert frequent["reason"] == "40 labels are enough" and not frequent["taught"]
    assert made.note == "no network of the run rebuilds what logistic reads: a linear decoder takes its place"
    assert all(known(text) for text in (made.note, rarest["reason"], frequent["reason"]))
    rows, out = made.more.made(Context(), x, y, 1)
    assert len(rows) + out == 35 and len(np.unique(rows, axis=0)) == len(rows)
    apart = np.abs(rows.mean(axis=0) - x[y == 1].mean(axis=0))
    assert (apart < 3 * x[y == 1].std(axis=0, ddof=1) / np.sqrt(5) + 0.2).mean() > 0.95


def test_limits_of_the_view_hold_and_detectors_scores_stay_those_of_a_record():
    x, y = labelled((30, 8, 8))
    x[:, :10] = np.minimum(x[:, :10] + 20 * (y == 1)[:, None], 12.0)  # of class 1 all at the limit
    x[:, 10] = np.minimum(x[:, 10], 1.0)
    x[:, 58:] = np.round(x[:, 58:], 1)
    rows, _ = Generator(y >= 0, (1,), scores=2).made(Context(), x, y, 1)
    assert len(rows) > 20 and (rows[:, :10] == 12.0).all() and rows[:, 10].max() <= 1.0
    assert {tuple(row) for row in rows[:, 58:]} <= {tuple(row) for row in x[y == 1, 58:]}
    assert (rows[:, 11:58] >= x[:, 11:58].min(axis=0)).all() and (rows[:, 11:58] <= x[:, 11:58].max(axis=0)).all()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda codes: codes + 30, "what is generated does not lie in the band of its class"),
        (
            lambda codes: codes + 1,
            "the classifier tells generated records from measured ones",
        ),  # it has learned by heart
    ],
)
def test_a_bad_generator_is_refused_with_its_reason(recipe, spoil, reason):
    x, y = labelled((30, 8, 8))
    for network, refused in ((Memory(x, spoil), True), (Memory(x, lambda codes: codes), False)):
        made = generated(recipe, x, truth_of(y), np.arange(len(x)), Network(network, (60,), "memory"), Context())
        assert made.note == "memory of the run is the decoder" and known(made.note)
        for row in made.classes:
            assert row["reason"].startswith(reason) == refused and bool(row["taught"]) != refused
            assert not refused or known(row["reason"])
        assert (made.more is None) == refused


@pytest.fixture
def seen(monkeypatch):
    """The rows, classes and weights of every student that is taught."""
    import vibro.runs.teach as teaching

    given, fit_student = [], teaching.fit_student

    def fit(recipe, ctx, x, y, weight, classes):
        given.append((x, y, weight))
        return fit_student(recipe, ctx, x, y, weight, classes)

    monkeypatch.setattr(teaching, "fit_student", fit)
    return given


def test_copies_are_taught_with_their_record_weigh_as_much_as_it_and_never_without(recipe, seen):
    x = RNG.normal(size=(12, 3)).astype(np.float32)
    y = np.array([0] * 6 + [1] * 6, np.int16)
    copies = Copied(np.full((8, 3), 7, np.float32), np.repeat([6, 11], 4))
    teach(recipe, Context(), x, truth_of(y), 0, np.arange(12) < 10, (copies,))  # record 11 and its copies are held out
    given, classes, weight = seen[0]
    copied = (given == 7).all(axis=1)
    assert copied.sum() == 4 and set(classes[copied]) == {1} and weight[copied].sum() == pytest.approx(1.0)
    assert len(given) == 14 and (weight[~copied] == 1).all()


def test_a_generator_sees_only_the_labelled_records_that_its_student_is_taught(recipe, seen):
    x, y = labelled((12, 6, 8))
    y[[0, 1]] = -1  # not labelled
    held = np.isin(np.arange(len(x)), [2, 3, 13, 14, 20])
    hidden = np.where((held | (y < 0))[:, None], np.nan, x).astype(np.float32)
    generator = Generator(y >= 0, (1, 2))
    copies = Copied(np.full((4, 60), 7, np.float32), np.repeat([12], 4))
    for values in (hidden, x):
        teach(recipe, Context(), values, truth_of(y), 0, ~held, (copies, generator))
    (rows, classes, weight), (same, *_) = seen
    assert np.isfinite(rows).all() and np.array_equal(rows, same)
    measured = int(((y >= 0) & ~held).sum())
    made, of = np.arange(len(rows)) >= measured + 4, classes
    for c, labels in ((1, 4), (2, 7)):
        assert (made & (of == c)).sum() > 20 and weight[made & (of == c)].sum() == pytest.approx(labels)
    assert not (made & (of == 0)).any()
    lone = ~held & ~((y == 1) & (np.arange(len(x)) != 12))  # one record of class 1 is left, which tells no spread
    teach(recipe, Context(), x, truth_of(y), 0, lone, (generator,))
    assert (seen[2][1] == 1).sum() == 1 and (seen[2][1] == 2).sum() > 20


def test_the_network_of_a_run_is_taken_for_the_view_that_the_classifier_reads_first(recipe, tmp_path):
    host = PluginHost.create()
    rng = np.random.default_rng(3)
    batch = make_batch(rng.normal(size=(60, 1, 512)).astype(np.float32), fs=1000.0)
    wide = make_recipe(host, {"use": "logistic"}, ("a",))
    z, sound = rng.normal(size=(60, 1)), np.ones(60, bool)
    rows = read_rows(host, wide, batch, z, Context(fs=1000.0), tmp_path, sound)
    first, second = wide.view.settings["of"]
    settings = {"epochs": 1, "width": 4, "latent": 8, "batch": 10, "critic_steps": 1}
    plain = make_recipe(host, {"use": "logistic", "view": first}, ())
    part = read_rows(host, plain, batch, np.zeros((60, 0)), Context(fs=1000.0), tmp_path, sound).x
    fitted = host.component("detector", "tadgan").make(settings, Context())
    fitted.fit(part)
    entry = {"use": "tadgan", "id": "gan", "view": first, **settings}
    others = [{"use": "mahalanobis", "id": "m", "view": first}, {**entry, "id": "other", "view": second}]
    states = {"gan": fitted.state(), "other": fitted.state()}
    network = network_of(host, wide, batch, rows, [others[1], entry], states, Context(), tmp_path)
    assert network.ident == "gan" and network.shape == part.shape[1:]
    codes = network.encode(rows.x)
    assert codes.shape == (60, 8) and network.decode(codes).shape == part.shape
    np.testing.assert_allclose(network.decode(codes), fitted.decode(fitted.encode(part)), rtol=1e-4, atol=1e-5)
    assert network_of(host, wide, batch, rows, [others[1]], states, Context(), tmp_path) is None
    mahalanobis = host.component("detector", "mahalanobis").make({}, Context())
    mahalanobis.fit(part)
    states["m"] = mahalanobis.state()
    assert network_of(host, wide, batch, rows, others[:1], states, Context(), tmp_path) is None  # it has no decoder


def judged(precision, f1):
    return Judged(np.zeros((3, 1, 2)), np.ones((3, 1), bool), np.array(precision), np.zeros(3), np.array(f1))


@pytest.mark.parametrize(
    ("precision", "f1", "kept"),
    [
        ([0.5, 0.6, 0.7], [0.55, 0.62, 0.68], True),
        ([0.5, 0.6, 0.7], [0.45, 0.65, 0.60], False),  # within the spread over the seeds
        ([0.3, 0.4, 0.5], [0.55, 0.62, 0.68], False),  # more types are right, and fewer faults are found
    ],
)
def test_what_is_made_is_kept_only_where_held_out_labels_gain_on_what_was_kept_before(precision, f1, kept):
    copies, generator = Copied(np.zeros((1, 1), np.float32), np.zeros(1, np.intp)), Generator(np.ones(1, bool), (1,))
    plain = Lesson("with labels", 0, judged([0.5, 0.6, 0.7], [0.5, 0.55, 0.6]))
    pseudo = Lesson("with pseudo-labels", 1, judged([0.5, 0.6, 0.7], [0.5, 0.55, 0.6]))
    ways = {INJECT: Augmented(INJECT, copies, []), GENERATE: Augmented(GENERATE, generator, [])}

    def lesson(name, rounds, added):
        return Lesson(name, rounds, judged(precision, f1), added)

    tried, remain, (first, second) = augmented([plain, pseudo], list(ways), ways.get, lesson)
    assert remain == [tried[0] if kept else plain, pseudo]
    assert ("no better" in first["reason"]) != kept and "macro F1 +0." in first["reason"]
    assert "no better" in second["reason"]  # not better than with copies, or not better than without
    assert set(tried[1].added) == ({INJECT, GENERATE} if kept else {GENERATE})
    assert tried[1].name == f"with labels{' and copies' if kept else ''} and generated records"
    none = {INJECT: Augmented(INJECT, None, [])}
    tried, remain, (told,) = augmented([plain, pseudo], [INJECT], none.get, lesson)
    assert not tried and remain == [plain, pseudo] and told["reason"] == "of no class anything passes for its records"
