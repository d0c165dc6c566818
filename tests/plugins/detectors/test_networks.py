"""What holds for each of the five networks: it learns, repeats itself, restores itself, goes on after a kill, and refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vibro.api import ConfigError, Context, NotApplicableError, NotFittedError
from vibro.core.planning import make_plan
from vibro.host.manager import PluginHost
from vibro_plugins.deep import standardise
from vibro_plugins.deep.checkpoint import Epochs, key_of
from vibro_plugins.deep.detector import split
from vibro_plugins.deep.diagnostics import effective_rank, explains_enough, pca_explained
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.images import Pixels
from vibro_plugins.deep.sampling import Trimming, minibatches, nearest
from vibro_plugins.deep.standardise import mean_squares, medians
from vibro_plugins.deep.training import exact, mixed
from vibro_plugins.deep.windows import cut
from vibro_plugins.detectors.contrastive import Contrastive
from vibro_plugins.detectors.deep_svdd import DeepSvdd
from vibro_plugins.detectors.hetero_vae import HeteroVae
from vibro_plugins.detectors.lstm_ae import LstmAe
from vibro_plugins.detectors.tadgan import TadGan


def images(n, seed, odd=0.0):
    """(n, 1, 8, 20): two patterns of random amplitude and noise; ``odd`` amplitude of a third one."""
    rng = np.random.default_rng(seed)
    h = np.linspace(0, 2 * np.pi, 8, endpoint=False)[:, None]
    w = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    patterns = np.stack([np.sin(h) * np.cos(w), np.cos(h) + 0 * w])
    x = np.einsum("nk,khw->nhw", rng.uniform(-2, 2, (n, 2)), patterns) + 0.3 * rng.standard_normal((n, 8, 20))
    x = (x + odd * np.sin(3 * h + 2 * w))[:, None].astype(np.float32)
    x.setflags(write=False)
    return x


def vectors(n, seed, odd=0.0):
    """The same, line after line: (n, 160)."""
    return images(n, seed, odd).reshape(n, -1)


NETWORKS = {
    "deep_svdd": (DeepSvdd, images, {"width": 4, "code": 8, "pretrain": 2, "epochs": 5, "batch": 16, "lr": 0.003}),
    "deep_svdd soft": (DeepSvdd, images, {"objective": "soft", "width": 4, "code": 8, "pretrain": 0, "batch": 16}),
    "hetero_vae": (HeteroVae, images, {"width": 4, "latent": 2, "epochs": 9, "warm_up": 1, "batch": 16, "lr": 0.01}),
    "tadgan": (TadGan, vectors, {"width": 4, "epochs": 6, "batch": 8, "lr": 0.01, "critic_steps": 2}),
    "contrastive": (Contrastive, images, {"width": 4, "code": 8, "epochs": 6, "batch": 12, "lr": 0.005}),
    "contrastive moco": (Contrastive, images, {"loss": "moco", "width": 4, "code": 8, "epochs": 4, "batch": 12}),
    "lstm_ae": (LstmAe, vectors, {"patch": 20, "hidden": 16, "code": 4, "epochs": 30, "batch": 8, "lr": 0.01}),
}
FIVE = ("deep_svdd", "hetero_vae", "tadgan", "contrastive", "lstm_ae")


def fitted(name, rows=90, seed=0, ctx=None, **settings):
    cls, make, small = NETWORKS[name]
    detector = cls.make({**small, **settings}, ctx or Context(seed=seed))
    detector.fit(make(rows, 0) if isinstance(rows, int) else rows)
    return detector


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """Name, a fitted detector, and rows that it has not seen."""
    return request.param, fitted(request.param), NETWORKS[request.param][1](40, 1)


def test_trap_16_52_it_ends_sound_and_its_untrained_self_does_not(network):
    name, detector, _ = network
    assert detector.health()["failed"] == 0
    assert fitted(name, epochs=0, **({"pretrain": 0} if "svdd" in name else {})).health()["failed"] == 1


@pytest.mark.slow
def test_trap_13_56_two_fits_give_the_same_bytes_and_leave_torch_as_it_was(network):
    name, detector, x = network
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert np.array_equal(fitted(name).score(x), detector.score(x))
    assert not np.array_equal(fitted(name, seed=1).score(x), detector.score(x))
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads


def test_state_is_enough(network):
    name, detector, x = network
    cls, _, small = NETWORKS[name]
    state = {key: np.array(array) for key, array in detector.state().items()}
    assert all(array.dtype.kind in "biuf" for array in state.values())
    back = cls.make(small, Context(seed=9))
    with pytest.raises(NotFittedError):
        back.score(x)
    back.load_state(state)
    assert np.array_equal(back.score(x), detector.score(x)) and back.health() == detector.health()


def test_trap_25_47_51_one_record_scores_as_among_many_and_always_alike(network):
    _, detector, x = network
    whole = detector.score(x)
    assert np.array_equal(np.concatenate([detector.score(x[i : i + 1]) for i in range(3)]), whole[:3])
    assert np.array_equal(detector.score(x[::-1])[::-1], whole) and np.array_equal(detector.score(x), whole)
    assert np.isfinite(detector.score(np.full_like(x[:2], 3e38))).all()


@pytest.mark.parametrize("name", FIVE)
def test_rows_that_cannot_be_learned_from_are_refused(name):
    one = NETWORKS[name][1](1, 0)
    for rows, words in (
        (one, "too few"),
        (np.repeat(one, 60, axis=0), "constant"),
        (0 * np.repeat(one, 60, 0), "constant"),
    ):
        with pytest.raises(NotApplicableError, match=words):
            fitted(name, rows=rows)
    with pytest.raises(NotApplicableError, match="no images|needed|fewer than two"):
        fitted(name, rows=np.zeros((60, 2, 1, 1, 16), np.float32))


@pytest.mark.parametrize("name", FIVE)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_counted_and_refused(name, value):
    rows = NETWORKS[name][1](90, 0).copy()
    rows.reshape(90, -1)[[3, 70, 89], 7] = value
    with pytest.raises(NotApplicableError, match="3 values that are not finite"):
        fitted(name, rows=rows)


@pytest.mark.parametrize(
    ("name", "setting"),
    [(name, "patience") for name in FIVE]
    + [(name, "window") for name in ("tadgan", "contrastive")]
    + [("tadgan", "hop")],
)
def test_numbers_of_epochs_and_samples_have_an_end(name, setting):
    with pytest.raises(ConfigError, match=setting):
        NETWORKS[name][0].make({setting: 10**7}, Context())


@pytest.mark.parametrize("name", FIVE)
def test_progress_rises_to_its_end(name):
    done = []
    fitted(name, ctx=Context(progress=lambda *step: done.append(step)), patience=50)
    total = NETWORKS[name][2]["epochs"] + NETWORKS[name][2].get("pretrain", 0)
    assert done == [(k, total) for k in range(1, total + 1)]


# --- going on after a kill --------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As the end of a process."""


def killer(after):
    def progress(done, total):
        if done == after:
            raise Killed

    return progress


@pytest.mark.parametrize("after", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_killed_training_goes_on_to_the_same_bytes(network, after, tmp_path):
    name, detector, x = network
    with pytest.raises(Killed):
        fitted(name, ctx=Context(progress=killer(after), scratch=tmp_path))
    files = sorted(tmp_path.iterdir())
    assert files and all(file.suffix == ".npz" for file in files)
    done = []
    again = fitted(name, ctx=Context(progress=lambda k, total: done.append(k), scratch=tmp_path))
    assert done[0] == after + 1  # no epoch is done twice
    assert np.array_equal(again.score(x), detector.score(x)) and again.health() == detector.health()


def test_a_finished_training_is_not_done_again(tmp_path):
    done = []
    ctx = Context(progress=lambda *step: done.append(step), scratch=tmp_path)
    first = fitted("lstm_ae", ctx=ctx, patience=50)
    done.clear()
    assert np.array_equal(fitted("lstm_ae", ctx=ctx, patience=50).score(vectors(9, 1)), first.score(vectors(9, 1)))
    assert done == []


@pytest.mark.parametrize("change", ["seed", "settings", "rows", "damage"])
def test_what_another_training_left_is_not_taken(change, tmp_path):
    with pytest.raises(Killed):
        fitted("lstm_ae", ctx=Context(progress=killer(3), scratch=tmp_path))
    rows = vectors(90, 7) if change == "rows" else 90
    settings = {"trim": 0.1} if change == "settings" else {}
    seed = 5 if change == "seed" else 0
    if change == "damage":
        file = tmp_path / "train.npz"
        file.write_bytes(file.read_bytes()[:-200])
    done = []
    ctx = Context(seed=seed, progress=lambda k, total: done.append(k), scratch=tmp_path)
    again = fitted("lstm_ae", rows=rows, ctx=ctx, **settings)
    assert done[0] == 1
    assert np.array_equal(
        again.score(vectors(9, 1)), fitted("lstm_ae", rows=rows, seed=seed, **settings).score(vectors(9, 1))
    )


def test_without_a_scratch_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fitted("lstm_ae", epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_the_learning_rate_goes_on_along_its_cosine(tmp_path):
    def run(ctx, last):
        net = torch.nn.Linear(1, 1)
        optimizer, seen = torch.optim.Adam(net.parameters(), lr=1.0), []
        for epoch in Epochs(ctx, 8, "key", optimizer, 0.1, net=net):
            if epoch == last:
                break
            net(torch.ones(1, 1)).sum().backward()
            optimizer.step()
            seen.append(optimizer.param_groups[0]["lr"])
        return seen

    whole = run(Context(), 8)
    assert whole[0] == 1.0 and whole == sorted(whole, reverse=True)
    assert run(Context(scratch=tmp_path), 3) + run(Context(scratch=tmp_path), 8) == whole


# --- ensembles --------------------------------------------------------------------------------------------------------


def test_full_is_a_plan_of_large_networks():
    host = PluginHost.create(autoload=False, environ={})
    plan = make_plan(host, "full", host.registry.ensemble("full"))
    networks = {d.id: d.settings for d in plan.detectors if d.id in FIVE}
    assert set(networks) == set(FIVE) and all(settings["epochs"] == 100 for settings in networks.values())
    assert {d.view.settings["size"] for d in plan.detectors if d.view.name in ("hetero", "cwt_image")} == {224}
    assert all(networks[name]["backbone"] == "resnet18" for name in ("deep_svdd", "hetero_vae"))
    assert networks["contrastive"]["shift"] and networks["contrastive"]["mask"]  # its picture is a map over time
    for d in plan.detectors:
        d.cls.make(d.settings, Context())  # every setting is within its bounds


# --- parts ------------------------------------------------------------------------------------------------------------


def test_enough_is_measured_against_principal_axes():
    rng = np.random.default_rng(0)
    modes = rng.uniform(-2, 2, (300, 2)) @ rng.standard_normal((2, 200))
    noise = rng.standard_normal((300, 200))
    rows, held = np.arange(200), np.arange(200, 300)
    found = [
        pca_explained(lambda part: part, x, rows, held, lambda rest: np.sqrt((rest**2).mean(axis=1)))
        for x in (modes + 0.3 * noise, noise)
    ]
    assert found[0] > 0.5 and abs(found[1]) < 0.1
    assert explains_enough(0.3, found[0]) and not explains_enough(0.05, found[0])  # there was something to learn
    assert explains_enough(0.0, found[1]) and not explains_enough(
        -0.1, found[1]
    )  # there was not; but worse than nothing is wrong
    assert not explains_enough(np.nan, found[1])


def test_rows_of_a_group_are_held_out_together():
    def parts(groups):
        held, rows = split(200, Context(groups=groups), np.random.default_rng(0))
        assert sorted([*held, *rows]) == list(range(200))
        return held, rows

    groups = np.random.default_rng(1).permutation(np.repeat(np.arange(20), 10))
    held, rows = parts(groups)
    assert len(held) == 30 and not set(groups[held]) & set(groups[rows])
    groups = np.repeat(np.arange(17), [12] * 16 + [8])  # two of which would be a tenth
    assert len(np.unique(groups[parts(groups)[0]])) == 3
    few = np.repeat(np.arange(12), [36] * 5 + [4] * 5 + [0, 0])  # the small ones alone might be the faults
    single = [parts(groups)[0].tolist() for groups in (None, few)]
    assert single[0] == single[1] and len(single[0]) == 20


def test_groups_decide_whether_a_training_goes_on():
    ctx, x = Context(), vectors(20, 0)
    keys = [
        key_of("lstm_ae", {}, replace(ctx, groups=groups), x) for groups in (None, np.arange(20), np.arange(20) // 2)
    ]
    assert len(set(keys)) == 3


def test_a_loss_that_is_no_number_ends_a_training():
    stopping = EarlyStopping(torch.nn.Linear(1, 1), 3)
    assert not stopping.stop(1.0)
    with pytest.raises(NotApplicableError, match="diverged"):
        stopping.stop(np.nan)


def test_medians_and_mean_squares_in_blocks_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr(standardise, "PLACES", 7)
    x = np.random.default_rng(0).standard_normal((150, 3, 11)).astype(np.float32)
    centre = medians(x)
    assert np.array_equal(centre, np.median(x, axis=0))
    np.testing.assert_allclose(mean_squares(x, centre, (2,)), ((x - centre) ** 2).mean(axis=2), rtol=1e-5)


def test_what_fills_a_picture_up_has_no_part_in_the_spread_of_its_line():
    x = np.random.default_rng(0).standard_normal((200, 1, 4, 40)).astype(np.float32)
    x[:, :, 2, 1:] = x[:, :, 3] = 0
    z = Pixels.fit(x).apply(x)
    assert z[:, 0, 2, 0].std() == pytest.approx(1, rel=0.15) == z[:, 0, 0].std()
    assert (z[:, :, 2, 1:] == 0).all() and (z[:, :, 3] == 0).all()


def test_windows_cover_a_record_to_its_end():
    lines = np.arange(2 * 3 * 10, dtype=np.float32).reshape(2, 3, 10)
    assert cut(lines, 10, 4) is lines
    for length, hop, starts in (
        (4, 4, [0, 4, 6]),
        (5, 5, [0, 5]),
        (4, 3, [0, 3, 6]),
        (2, 7, [0, 7, 8]),
        (9, 20, [0, 1]),
    ):
        windows = cut(lines, length, hop).reshape(2, len(starts), 3, length)
        for k, start in enumerate(starts):
            assert np.array_equal(windows[:, k], lines[:, :, start : start + length])


def test_tf32_is_off_where_scores_are_made_and_left_as_it_was():
    matrices, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matrices.allow_tf32, convolutions.allow_tf32
    with exact():
        assert not matrices.allow_tf32 and not convolutions.allow_tf32 and torch.get_num_threads() == 1
    assert (matrices.allow_tf32, convolutions.allow_tf32) == before


def test_no_mixed_precision_on_a_cpu():
    with mixed("cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_minibatches_drop_no_row_and_trimming_drops_the_worst():
    rows = np.arange(103)
    parts = minibatches(rows, 32, np.random.default_rng(0))
    assert sorted(np.concatenate(parts)) == list(rows) and min(map(len, parts)) >= 25
    assert [len(part) for part in minibatches(rows[:7], 32, np.random.default_rng(0))] == [7]
    assert list(nearest(np.array([3.0, 1.0, 9.0, 2.0]), 0.25)) == [0, 1, 3]
    trimming = Trimming(np.array([5, 6, 7, 8]), 0.25, 2, 3)
    looks = [epoch for epoch in range(9) if trimming.update(epoch, lambda chosen: -chosen.astype(float))]
    assert looks == [2, 5, 8] and list(trimming.kept) == [6, 7, 8]


def test_plateau_keeps_the_best_weights():
    net = torch.nn.Linear(1, 1)
    stopping, stops = EarlyStopping(net, patience=2), []
    for loss in (3.0, 1.0, 2.0, 2.0):
        with torch.no_grad():
            net.weight.fill_(loss)
        stops.append(stopping.stop(loss))
    stopping.restore()
    assert stops == [False, False, False, True] and net.weight.item() == 1.0


def test_effective_rank():
    rng = np.random.default_rng(0)
    assert effective_rank(rng.standard_normal((4000, 6))) == pytest.approx(6, abs=0.1)
    assert effective_rank(np.outer(rng.standard_normal(50), np.ones(6))) == pytest.approx(1, abs=1e-6)
    assert effective_rank(np.ones((50, 6))) == 0
    assert effective_rank(np.full((50, 6), np.nan)) == 0


def test_a_training_is_known_by_every_row_and_label():
    x, y = np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32), np.zeros(3000, np.int16)
    keys = {key_of("net", 1, Context(), x, y)}
    for row in (1, 1500, 2999):
        changed, labels = x.copy(), y.copy()
        changed[row, 3] += 1
        labels[row] = 1
        keys |= {key_of("net", 1, Context(), changed, y), key_of("net", 1, Context(), x, labels)}
    assert len(keys) == 7 and key_of("net", 1, Context(), x.copy(), y) in keys
