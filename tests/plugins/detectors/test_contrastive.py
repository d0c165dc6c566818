"""Contrastive detector: what it may not see, what it must see, and heads on plain codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator

from vibro.api import Context
from vibro_plugins.deep import channels
from vibro_plugins.deep.diagnostics import effective_rank
from vibro_plugins.detectors.contrastive import Contrastive, heads, pretext
from vibro_plugins.detectors.contrastive.augment import (
    MAP_EDITS,
    WAVE_EDITS,
    Augmentation,
    edited,
    line_of_map,
    own_floor,
    rolled,
)
from vibro_plugins.detectors.contrastive.heads import HEADS, fit_head
from vibro_plugins.detectors.contrastive.losses import (
    Queue,
    alignment,
    moco,
    nt_xent,
    rank_one,
    uniformity,
)
from vibro_plugins.detectors.contrastive.networks import encoder
from vibro_plugins.stats import neighbours

from . import networks
from .networks import task

TASK = task("contrastive")

SHAPES = {"vector": (48,), "record": (1, 256), "image": (1, 16, 16)}


@pytest.fixture(scope="module")
def vectors():
    """340 vectors of 48 values: two smooth modes of random size, and noise."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    modes = np.stack([np.sin(t), np.cos(2 * t)])
    x = (rng.uniform(-2, 2, (340, 2)) @ modes + 0.3 * rng.standard_normal((340, 48))).astype(np.float32)
    x.setflags(write=False)
    return x


@pytest.fixture(scope="module")
def records():
    """160 sines of two tones and random phase, then 20 with rings and 20 at twice the level."""
    rng = np.random.default_rng(1)
    t = np.arange(256)
    x = np.sin(2 * np.pi * t / 32 + rng.uniform(0, 6.28, (200, 1))) + 0.1 * rng.standard_normal((200, 256))
    x[160:180, ::40] += 3
    x[180:] *= 2
    return x[:, None].astype(np.float32)


def auc(score, first_odd, first_new):
    """Odd rows against the calm ones that were not fitted on."""
    return np.mean(score[first_odd:, None] > score[None, first_new:first_odd])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_trap_45_augmentations_and_edits_take_and_return_tensors(shape):
    channels = shape if len(shape) > 1 else (1, *shape)
    x = torch.randn(30, *channels, generator=Generator().manual_seed(0))
    draw = Generator().manual_seed(1)
    for y in (Augmentation(1.0, 0.5, 0.05, 0.05)(x, draw), edited(x, draw, len(shape) == 2)):
        assert y.shape == x.shape and y.dtype == x.dtype and torch.isfinite(y).all()
        assert not any(torch.equal(a, b) for a, b in zip(x, y, strict=True))


def test_trap_46_every_record_has_draws_of_its_own():
    x = torch.randn(1, 1, 128, generator=Generator().manual_seed(0)).repeat(40, 1, 1)
    draw = Generator().manual_seed(1)
    for y in (Augmentation(1.0, 0.0, 0.0, 0.0)(x, draw), Augmentation(0.0, 0.0, 0.05, 0.0)(x, draw)):
        assert len({tuple(row) for row in y.flatten(1).tolist()}) > 25
    for edit in WAVE_EDITS + MAP_EDITS:
        y = edit(x, torch.rand(40, generator=draw) + 0.5, draw)
        assert len({tuple(row) for row in y.flatten(1).tolist()}) > 20, edit.__name__


@pytest.mark.parametrize("head", HEADS)
def test_trap_48_heads_know_only_rows_of_the_fit(head, vectors):
    detector = TASK.fitted(vectors[:240], epochs=2, head=head)
    before = {name: np.array(array) for name, array in detector.state().items()}
    first = detector.score(vectors[:20])
    detector.score(vectors[300:])
    assert np.array_equal(detector.score(vectors[:20]), first)
    assert all(np.array_equal(before[name], array) for name, array in detector.state().items())
    if head == "knn":
        assert len(before["head.codes"]) == 228  # 240 rows without the trimmed 5 %


def test_trap_49_no_centroid_by_default_and_codes_are_the_encoders_not_the_projections(vectors):
    assert Contrastive.Params().head == "mahalanobis"
    detector = TASK.fitted(vectors[:240], epochs=1, head="knn")
    net = detector._fitted()
    with torch.no_grad():
        code = net["encode"](detector._tensor(vectors[:64, None])).numpy()
    nearest = np.sort(np.linalg.norm(detector.state()["head.codes"][None] - code[:, None], axis=2), axis=1)
    own = nearest[:, 0] < 1e-4
    expected = np.where(own, nearest[:, 1:6].mean(axis=1), nearest[:, :5].mean(axis=1))
    np.testing.assert_allclose(detector.score(vectors[:64]), expected, rtol=1e-3)


def test_trap_50_positives_keep_level_bands_and_frequencies():
    draw = Generator().manual_seed(0)
    t = torch.arange(1024) / 1024
    x = (torch.sin(2 * torch.pi * 40 * t) + 0.05 * torch.randn(20, 1024, generator=draw))[:, None]
    view = Augmentation(1.0, 0.5, 0.05, 0.05)(x, draw)
    level = view.square().mean(dim=2).sqrt() / x.square().mean(dim=2).sqrt()
    assert ((level > 0.9) & (level < 1.1)).all()
    assert (torch.fft.rfft(view).abs().argmax(dim=2) == 40).all()
    assert {edit.__name__ for edit in WAVE_EDITS} >= {"level_of_wave", "band_of_wave", "stretched_wave"}


def test_trap_50_gaps_and_shifts_are_for_time_alone(monkeypatch):
    """In a vector, or in a picture of a folded spectrum, a gap is a band that is lost."""
    seen = []
    init = Augmentation.__init__

    def watched(self, *given):
        seen.append((given[0], given[3]))
        init(self, *given)

    monkeypatch.setattr(Augmentation, "__init__", watched)
    for shape, settings, wanted in (
        ((48,), {}, (0, 0)),
        ((48,), {"mask": 0.05, "shift": 1.0}, (0, 0)),
        ((1, 16, 16), {}, (0, 0)),
        ((1, 16, 16), {"mask": 0.02, "shift": 1.0}, (1, 0.02)),
        ((1, 256), {}, (1, 0.05)),
        ((1, 256), {"mask": 0.0, "shift": 0.0}, (0, 0)),
    ):
        seen.clear()
        TASK.fitted(np.random.default_rng(0).standard_normal((40, *shape)).astype(np.float32), epochs=1, **settings)
        assert set(seen) == {wanted}


@pytest.mark.parametrize("shape", [(1, 48), (2, 16, 16)])
def test_one_edit_is_that_of_a_single_line(shape):
    draw = Generator().manual_seed(0)
    x = torch.randn(400, *shape, generator=draw)
    change = line_of_map(x, 0.5 + torch.rand(400, generator=draw), draw) - x
    moved = change.flatten(2) != 0
    assert line_of_map in MAP_EDITS and (moved.sum(dim=2) == 1).all() and (moved == moved[:, :1]).all()
    assert len(set(moved[:, 0].nonzero()[:, 1].tolist())) > 40  # anywhere
    sizes = change.flatten(1).abs().amax(dim=1)
    assert sizes.max() > 2 * sizes.min() > 2 and (change.flatten(1).sum(dim=1) < 0).float().mean() > 0.4


def test_edits_change_more_than_views_do():
    draw = Generator().manual_seed(0)
    x = torch.randn(200, 1, 64, generator=draw)
    view = Augmentation(0.0, 0.5, 0.05, 0.05)(x, draw)
    for waveform in (True, False):
        change = (edited(x, draw, waveform) - x).square().mean(dim=(1, 2)).median()
        assert change > 0.2 or change > (view - x).square().mean(dim=(1, 2)).median()


def test_own_floor_is_that_of_white_noise_and_ignores_what_is_smooth():
    t = torch.arange(4096) / 4096
    x = torch.sin(2 * torch.pi * 3 * t) + 0.2 * torch.randn(3, 2, 4096, generator=Generator().manual_seed(0))
    assert torch.allclose(own_floor(x), torch.tensor(0.2), rtol=0.05)


def test_own_floor_does_not_count_what_fills_a_picture_up():
    x = torch.randn(5, 1, 8, 40, generator=Generator().manual_seed(0))
    x[:, :, 3:] = 0
    assert torch.allclose(own_floor(x), torch.tensor(1.0), rtol=0.3) and (own_floor(0 * x) == 0).all()


def test_what_fills_a_picture_up_stays_blank_in_views_and_edits():
    x = np.random.default_rng(0).standard_normal((60, 1, 8, 12)).astype(np.float32)
    x[:, :, 5:] = 0.5
    detector = TASK.fitted(x, epochs=1)
    views = detector._three(detector._tensor(x), Generator().manual_seed(1))
    assert all((view[:, :, 5:] == 0).all() and (view[:, :, :5] != 0).all() for view in views)


def test_edits_of_a_folded_spectrum_run_on_from_line_to_line(monkeypatch):
    seen = []

    def edited_seen(x, draw, waveform):
        seen.append(tuple(x.shape[1:]))
        return edited(x, draw, waveform)

    monkeypatch.setattr(pretext, "edited", edited_seen)
    x = np.random.default_rng(0).standard_normal((40, 2, 16, 12)).astype(np.float32)
    for shift, shape in ((None, (2, 192)), (1.0, (2, 16, 12))):
        seen.clear()
        TASK.fitted(x, epochs=1, shift=shift)
        assert set(seen) == {shape}


def test_rolled_turns_each_row_by_its_own_offset():
    x = torch.arange(12.0).reshape(2, 1, 6)
    y = rolled(x, torch.tensor([1, 4]))
    assert torch.equal(y[0], x[0].roll(-1, dims=1)) and torch.equal(y[1], x[1].roll(-4, dims=1))


def test_nt_xent_is_its_formula():
    a, b, s = torch.randn(3, 4, 5, generator=Generator().manual_seed(0)).double()
    z = torch.nn.functional.normalize(torch.cat([a, b, s]))
    total = 0.0
    for i in range(8):
        similar = torch.exp(z[i] @ z.T / 0.5)
        others = sum(similar[k] for k in range(8) if k != i) + 2 * similar[8:].sum()
        total -= torch.log(similar[(i + 4) % 8] / others)
    assert nt_xent(a, b, np.arange(4), s, 0.5, times=2.0).item() == pytest.approx(total.item() / 8)


def test_windows_of_one_record_are_no_negatives_of_each_other():
    a, b = torch.randn(2, 3, 5, generator=Generator().manual_seed(0)).double()
    z = torch.nn.functional.normalize(torch.cat([a, b]))
    total = 0.0
    for i, others in enumerate([[2, 5], [2, 5], [0, 1, 3, 4], [2, 5], [2, 5], [0, 1, 3, 4]]):
        positive = torch.exp(z[i] @ z[(i + 3) % 6] / 0.5)
        total -= torch.log(positive / (positive + torch.exp(z[i] @ z[others].T / 0.5).sum()))
    assert nt_xent(a, b, np.array([7, 7, 2]), None, 0.5).item() == pytest.approx(total.item() / 6)


@pytest.mark.parametrize("loss", ["nt_xent", "moco"])
def test_both_losses_are_told_whose_the_windows_are(records, loss, monkeypatch):
    seen = []

    def xent_seen(a, b, record, *rest):
        seen.append(record)
        return nt_xent(a, b, record, *rest)

    def follow_seen(self, net, key, rows):
        seen.append(rows)

    monkeypatch.setattr(pretext, "nt_xent", xent_seen)
    monkeypatch.setattr(Queue, "follow", follow_seen)
    TASK.fitted(records[:40], window=100, epochs=1, loss=loss)
    assert {int(record) for part in seen for record in part} == set(range(40))  # of 120 windows


def test_moco_puts_the_positive_first_and_counts_edited_copies():
    q, k, queue, s = torch.randn(4, 6, 5, generator=Generator().manual_seed(0)).double()
    unit = torch.nn.functional.normalize
    loss = 0.0
    for i in range(6):
        positive = torch.exp(unit(q)[i] @ unit(k)[i] / 0.3)
        others = torch.exp(unit(q)[i] @ unit(queue).T / 0.3).sum() + 3 * torch.exp(unit(q)[i] @ unit(s).T / 0.3).sum()
        loss -= torch.log(positive / (positive + others))
    everybody = torch.ones(6, 6, dtype=torch.bool)
    assert moco(q, k, (queue, everybody), s, 0.3, times=3.0).item() == pytest.approx(loss.item() / 6)


def test_the_queue_is_first_in_first_out_and_its_networks_follow():
    net = torch.nn.ModuleDict({"encode": torch.nn.Linear(3, 2), "project": torch.nn.Identity()})
    queue = Queue(net, 0.9, torch.zeros(5, 2), np.arange(5))
    old = queue.net["encode"].weight.clone()
    with torch.no_grad():
        net["encode"].weight += 1
    key = queue.key(torch.ones(2, 3))
    queue.follow(net, key, np.array([7, 4]))
    assert torch.equal(queue.keys[-2:], key) and queue.rows.tolist() == [2, 3, 4, 7, 4]
    assert torch.allclose(queue.net["encode"].weight, old + 0.1) and not key.requires_grad


def test_a_record_is_not_its_own_negative_while_its_key_waits_in_the_queue():
    q, k, keys = torch.randn(3, 2, 5, generator=Generator().manual_seed(0))
    queue = Queue(torch.nn.ModuleDict(), 0.9, keys, np.array([3, 8]))
    alone = torch.nn.functional.normalize(keys)[1:] @ torch.nn.functional.normalize(q)[0] / 0.3
    positive = torch.nn.functional.cosine_similarity(q, k)[0] / 0.3
    first = torch.logsumexp(torch.cat([positive[None], alone]), 0) - positive
    second = moco(q[1:], k[1:], queue.others(np.array([5])), None, 0.3)
    assert 2 * moco(q, k, queue.others(np.array([3, 5])), None, 0.3) == pytest.approx((first + second).item())


def test_trap_50_frequency_is_never_shifted():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((60, 1, 16, 40)).astype(np.float32)
    low, high = np.zeros((2, 1, 1, 16, 40), np.float32)
    low[..., 3:9] = high[..., 30:36] = 3
    at_rest, free = (TASK.fitted(images, epochs=1, **how) for how in ({}, {"shift": 1.0}))

    def likeness(detector):
        blank, a, b = (detector._coded(detector._fitted(), part)[0] for part in (0 * low, low, high))
        return np.dot(a - blank, b - blank) / np.linalg.norm(a - blank) / np.linalg.norm(b - blank)

    assert likeness(at_rest) < 0.6 < 0.9 < likeness(free)


def test_a_channel_silent_at_fit_is_heard_later():
    rng = np.random.default_rng(0)
    lines = np.stack([rng.standard_normal((60, 64)), np.zeros((60, 64))], axis=1).astype(np.float32)
    loud = lines.copy()
    loud[:, 1] = rng.standard_normal((60, 64))
    detector = TASK.fitted(lines, epochs=1)
    assert np.median(detector.score(loud)) > 2 * np.median(detector.score(lines))


def test_a_channel_in_small_units_is_heard_as_well():
    rng = np.random.default_rng(0)
    lines = rng.standard_normal((60, 2, 64)).astype(np.float32) * np.array([[1000], [1]], np.float32)
    odd = lines * np.array([[1], [4]], np.float32)
    detector = TASK.fitted(lines, epochs=1)
    assert np.median(detector.score(odd)) > np.quantile(detector.score(lines), 0.95)


def test_numbers_of_health():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((200, 8))
    assert alignment(a, 3 * a) == pytest.approx(0) and rank_one(a, a) == 1
    assert uniformity(np.ones((50, 8))) == pytest.approx(0) and uniformity(a) < -2
    assert effective_rank(a) > 7.5 and effective_rank(np.outer(a[:, 0], np.ones(8))) == pytest.approx(1)


@pytest.mark.parametrize("loss", ["nt_xent", "moco"])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_records_are_told_by_rings_and_by_level(records, loss, shift):
    detector = TASK.fitted(records[:120], loss=loss, shift=shift, epochs=4)
    score = detector.score(records)
    assert auc(score, 160, 120) > 0.85


def test_codes_of_a_record_are_the_mean_over_its_windows(records):
    detector = TASK.fitted(records[:60], window=64, epochs=1)
    net = detector._fitted()
    whole = detector._coded(net, records[:3])
    parts = detector._embedded(net, records[:3, 0].reshape(12, 1, 64)).reshape(3, 4, -1)
    np.testing.assert_allclose(whole, parts.mean(axis=1), rtol=1e-6)


def test_the_end_of_a_record_is_scored(records):
    detector = TASK.fitted(records[:60], window=100, epochs=1)
    spoilt = records[:20].copy()
    spoilt[..., 210:] *= 5
    assert (detector.score(spoilt) > detector.score(records[:20])).all()


@pytest.mark.parametrize("head", HEADS)
def test_every_head_finds_what_lies_apart(head):
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((300, 6)) + 4
    near, far = rng.standard_normal((50, 6)) + 4, rng.standard_normal((50, 6)) * np.array([1, 1, 1, 6, 6, 6]) - 4
    score = fit_head(head, codes, 5, 0).score
    assert np.mean(score(far)[:, None] > score(near)[None]) > 0.9
    assert np.isfinite(score(1e6 * far)).all() and np.array_equal(score(far[:3]), score(far)[:3])


@pytest.mark.parametrize("head", ["gmm", "iforest", "ocsvm"])
def test_heads_score_as_the_library_that_fitted_them(head):
    from sklearn.ensemble import IsolationForest
    from sklearn.mixture import GaussianMixture
    from sklearn.svm import OneClassSVM

    from vibro_plugins.detectors.contrastive.heads import Axes
    from vibro_plugins.stats.columns import Columns

    rng = np.random.default_rng(0)
    codes, asked = rng.standard_normal((31, 6)) + 4, 3 * rng.standard_normal((80, 6)) + 4
    if head == "gmm":
        axes = Axes.fit(codes)
        known = GaussianMixture(1, reg_covar=1e-4, random_state=0).fit(axes.apply(codes))
        wanted = -known.score_samples(axes.apply(asked))
    elif head == "iforest":
        wanted = -IsolationForest(n_estimators=200, random_state=0).fit(codes).score_samples(asked)
    else:
        columns = Columns.fit(codes)
        wanted = -OneClassSVM(nu=0.05).fit(columns.apply(codes)).decision_function(columns.apply(asked))
    np.testing.assert_allclose(fit_head(head, codes, 5, 0).score(asked), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 48), (2, 700), (1, 16, 16), (3, 20, 33)])
@pytest.mark.parametrize("locked", [True, False])
def test_encoders_read_any_size(shape, locked):
    assert encoder("cnn", shape, 4, 8, locked)(torch.zeros(2, *shape)).shape == (2, 8)


@pytest.mark.parametrize(("trim", "hidden"), [(0.1, False), (0.0, True)])
def test_a_cluster_smaller_than_what_is_trimmed_cannot_hide_in_itself(trim, hidden):
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((200, 6))
    codes[185:] = 5 + 0.1 * codes[185:]
    remote = Contrastive.make({"trim": trim}, Context())._remoteness(codes)
    assert (remote[185:].max() < np.median(remote[:185])) == hidden
    assert (remote[185:].min() > remote[:185].max()) != hidden


def test_trimmed_rows_are_not_kept_for_scoring():
    detector = TASK.fitted(epochs=1, trim=0.1, head="knn")
    codes = detector._coded(detector._fitted(), TASK.fit)
    kept = detector.state()["head.codes"]
    left = [i for i, code in enumerate(codes) if not (kept == code.astype(np.float32)).all(axis=1).any()]
    assert len(kept) == 180 and sorted(left) == sorted(np.argsort(detector._remoteness(codes))[180:])


def test_it_says_how_many_rows_it_compares_with(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_ROWS", 50)
    monkeypatch.setattr(heads, "MOST_ROWS", 40)
    monkeypatch.setattr(channels, "MOST_ROWS", 60)

    def used(x=90, **settings):
        detector = networks.fitted("contrastive", x, epochs=0, **settings)
        again = Contrastive(detector.params, Context())
        again.load_state(detector.state())
        assert again.health() == detector.health()
        return detector.health().get("rows_used")

    assert [used(head=head) for head in ("knn", "knn_cosine", "ocsvm", "mahalanobis")] == [50, 50, 40, None]
    assert used(head="knn", x=40) is None
    x = networks.vectors(120, 0)
    assert used(x=x, ctx=networks.with_copies(x), objective="exposure") == 60
