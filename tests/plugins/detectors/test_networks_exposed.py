"""What holds for each of the five networks with disturbed copies: it learns from them, and from none of what is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.api import Context, NotApplicableError
from vibro.core.task import ArrayRef, FitTask
from vibro.core.worker import fit_task
from vibro_plugins.detectors.contrastive import Contrastive
from vibro_plugins.detectors.deep_svdd import DeepSvdd

from .networks import FIVE, NETWORKS, curves, fitted, frozen, vectors, with_copies

SETTINGS = {
    "deep_svdd": {"lr": 0.003, "epochs": 6},
    "hetero_vae": {"lr": 0.01, "epochs": 8, "margin": 5.0},
    "tadgan": {"epochs": 6},
    "contrastive": {"epochs": 6},
    "lstm_ae": {"epochs": 10},
}


def exposed(name, x, ctx=None, **settings):
    cls, _, small = NETWORKS[name]
    detector = cls.make({**small, **SETTINGS[name], "objective": "exposure", **settings}, ctx or with_copies(x))
    detector.fit(x)
    return detector


def rows_of(name, n=120, seed=0, odd=0.0):
    return NETWORKS[name][1](n, seed, odd)


@pytest.fixture(scope="module", params=FIVE)
def network(request):
    """Name and a network trained with copies."""
    return request.param, exposed(request.param, rows_of(request.param))


def test_it_tells_copies_of_records_that_it_has_not_seen(network):
    name, after = network
    calm = rows_of(name, 100, 1)
    odd = with_copies(calm, seed=5, each=1).disturbed.x
    before = exposed(name, rows_of(name), epochs=0)

    def auc(detector):
        return np.mean(detector.score(odd)[:, None] > detector.score(calm))

    lost = 0.03 if name == "contrastive" else 0.0  # its untrained codes tell these copies at 0.96 already
    assert auc(after) > 0.85 and auc(after) >= auc(before) - lost
    assert after.health()["failed"] == 0 and 0.5 < after.health()["separation"] <= 1


def test_what_makes_its_score_lies_where_a_row_was_spoilt(network):
    name, detector = network
    spoilt = rows_of(name, 20, 1).copy()
    inside = np.zeros(spoilt.shape[1:], bool)
    inside[(..., slice(3, 5), slice(6, 10)) if spoilt.ndim == 4 else slice(66, 80)] = True
    spoilt[:, inside] += 4
    parts = detector.attribution(spoilt)
    assert parts.shape == spoilt.shape and parts[:, inside].mean() > 2 * np.abs(parts[:, ~inside]).mean()


@pytest.mark.parametrize("name", ("deep_svdd", "contrastive"))
def test_of_a_vector_the_parts_add_up_to_the_rise_of_the_score(name):
    x = vectors(120, 0)
    detector = exposed(name, x, epochs=2)
    asked, usual = vectors(20, 1, odd=2.0), np.median(x, axis=0)[None]
    rise = detector.score(asked) - detector.score(usual)
    assert np.allclose(detector.attribution(asked).sum(axis=1), rise, atol=0.05 * np.abs(rise).max())


def test_it_is_restored_and_scores_each_record_by_itself(network):
    name, detector = network
    again = type(detector)(detector.params, Context(seed=9))
    again.load_state(detector.state())
    x = rows_of(name, 70, 2)
    np.testing.assert_array_equal(again.score(x), detector.score(x))
    np.testing.assert_array_equal(detector.score(x[33:34]), detector.score(x)[33:34])


def test_its_training_is_told(network):
    _, detector = network
    course = detector.training()
    assert 1 <= len(course.loss) <= detector.params.epochs and np.isfinite(course.loss).all()
    assert len(course.held_out) == 12 and len(np.unique(course.held_out)) == 12 and course.held_out.max() < 120


@pytest.mark.parametrize("name", FIVE)
def test_without_copies_or_with_equal_ones_it_says_why_it_learns_nothing(name):
    x = rows_of(name, 60)
    with pytest.raises(NotApplicableError, match="no disturbed copies"):
        exposed(name, x, Context())
    with pytest.raises(NotApplicableError, match="0 of 120 disturbed copies differ"):
        exposed(name, x, with_copies(x, amount=0.0))
    flat = frozen(np.ones_like(x))
    with pytest.raises(NotApplicableError, match="constant"):
        exposed(name, flat, with_copies(flat))


@pytest.mark.parametrize("name", FIVE)
def test_copies_of_held_out_rows_never_train(name, monkeypatch):
    from vibro_plugins.deep.exposure import Examples

    x, seen, draw = rows_of(name, 80), [], Examples.draw

    def watched(self, rows, size, rng):
        found = draw(self, rows, size, rng)
        seen.extend(self.row[found])
        return found

    monkeypatch.setattr(Examples, "draw", watched)
    detector = exposed(name, x, epochs=2)
    assert seen and not set(seen) & set(detector.training().held_out)


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in ("hetero_vae", "tadgan", "lstm_ae") else n for n in FIVE],
)
def test_a_killed_training_with_copies_goes_on_to_the_same_bytes(name, tmp_path):
    x, done = rows_of(name, 80), []
    ctx = with_copies(x)

    def kill(epoch, total):
        if epoch == 2:
            raise Killed

    whole = exposed(name, x, ctx, epochs=4)
    with pytest.raises(Killed):
        exposed(name, x, replace(ctx, progress=kill, scratch=tmp_path), epochs=4)
    again = exposed(name, x, replace(ctx, progress=lambda k, total: done.append(k), scratch=tmp_path), epochs=4)
    assert done[0] == 3
    before, after = whole.state(), again.state()
    assert before.keys() == after.keys() and all(before[key].tobytes() == after[key].tobytes() for key in before)
    done.clear()
    exposed(
        name, x, replace(with_copies(x, seed=7), progress=lambda k, total: done.append(k), scratch=tmp_path), epochs=4
    )
    assert done[0] == 1  # of other copies nothing is taken over


def test_a_vector_is_read_in_three_channels():
    x = curves()
    ctx = with_copies(x[:240])
    for cls, settings in (
        (DeepSvdd, {"width": 8, "code": 16, "epochs": 6, "lr": 0.003}),
        (Contrastive, {"width": 4, "code": 8, "epochs": 3}),
    ):
        detector = cls.make({**settings, "objective": "exposure"}, ctx)
        detector.fit(x[:240])
        auc = np.mean(detector.score(x[300:])[:, None] > detector.score(x[240:300]))
        assert auc > 0.8 and detector.health()["failed"] == 0
        again = cls.make({**settings, "objective": "exposure"}, Context())
        again.load_state(detector.state())
        np.testing.assert_array_equal(again.score(x), detector.score(x))


@pytest.mark.parametrize("kind", ["cnn", "resnet", "transformer", "gru"])
def test_every_encoder_of_the_contrastive_reference_learns_vectors(kind):
    x = curves()
    detector = Contrastive.make(
        {"objective": "exposure", "encoder": kind, "width": 4, "code": 8, "epochs": 4}, with_copies(x[:240])
    )
    detector.fit(x[:240])
    assert np.mean(detector.score(x[300:])[:, None] > detector.score(x[240:300])) > 0.75
    again = Contrastive.make({"objective": "exposure", "encoder": kind, "width": 4, "code": 8}, Context())
    again.load_state(detector.state())
    np.testing.assert_array_equal(again.score(x[:20]), detector.score(x[:20]))


def test_images_have_one_encoder():
    with pytest.raises(NotApplicableError, match="encoder = 'cnn'"):
        fitted("contrastive", encoder="gru")


def test_forty_records_are_enough_for_deep_svdd():
    x = vectors(40, 0)
    fold = (np.arange(40) % 5).astype(np.int8)
    copies = with_copies(x).disturbed
    settings = DeepSvdd.make({"objective": "exposure", "width": 8, "code": 16, "epochs": 6, "lr": 0.003}, Context())
    task = FitTask("svdd", DeepSvdd, settings.params, Context(), ArrayRef(x), np.arange(40), fold, cross_fit=False)
    task = replace(task, copies=ArrayRef(copies.x), copy_of=copies.row)
    result = fit_task(task)
    assert result.status == "ok", result.reason
    assert result.loss and set(result.stopped_on) <= set(np.flatnonzero(fold > 0))
    odd = vectors(40, 3, odd=2.0)
    detector = DeepSvdd(settings.params, Context())
    detector.load_state(result.state)
    assert np.mean(detector.score(odd)[:, None] > detector.score(vectors(40, 4))) > 0.8


def test_heads_are_networks_of_their_own_and_scatter_less_than_one():
    x, asked = vectors(120, 0), vectors(40, 1, odd=1.0)

    def scatter(heads):
        """How much the ranking of records differs between seeds."""
        scores = []
        for seed in range(4):
            made = exposed("deep_svdd", x, replace(with_copies(x), seed=seed), epochs=0, heads=heads)
            codes = made._codes(made._net, asked).reshape(len(asked), heads, -1)
            np.testing.assert_allclose(made.score(asked) ** 2, np.sum(codes**2, axis=(1, 2)), rtol=1e-4)
            scores.append(np.log(made.score(asked)))
        return (np.array(scores) - np.mean(scores, axis=1, keepdims=True)).std(axis=0).mean()

    assert scatter(8) < 0.7 * scatter(1)
