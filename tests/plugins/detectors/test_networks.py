"""What holds for each of the five networks: it learns, repeats itself, restores itself, goes on after a kill, and refuses."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from vibro.api import ConfigError, Context, NotApplicableError, NotFittedError, check_settings
from vibro.core.engine import Engine
from vibro.core.folds import make_rows
from vibro.core.planning import make_plan
from vibro.core.task import ArrayRef, FitTask
from vibro.core.worker import fit_task
from vibro.data import make_batch
from vibro.host.manager import PluginHost
from vibro.injection.fit import fit_ensemble
from vibro_plugins.deep import images as deep_images
from vibro_plugins.deep import sampling
from vibro_plugins.deep.training import arrays
from vibro_plugins.detectors.contrastive.heads import HEADS
from vibro_plugins.detectors.deep_svdd import sphere

from .networks import FIVE, NETWORKS, fitted, module_of, pictures, task, trained, vectors

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("tadgan", "contrastive")]
STOPPING = ["hetero_vae", "lstm_ae", *SLOW]  # deep_svdd holds no row out: it keeps its last weights


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """Name, a fitted detector, and rows that it has not seen."""
    return request.param, fitted(request.param), NETWORKS[request.param][1](40, 1)


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "loss", "more"),
    [
        ("deep_svdd", "", {}),
        ("hetero_vae", "", {"active": 3}),
        ("tadgan", "", {"gain": 0.2, "auc": 0.9}),
        ("contrastive", "nt_xent", {}),
        ("contrastive", "moco", {}),
        ("lstm_ae", "", {"gain": 0.2}),
    ],
)
def test_it_learns_more_than_its_untrained_self(name, loss, more):
    after, before = trained(name, loss), trained(name, loss, untrained=True)
    auc = task(name).auc(after)
    assert auc > task(name).auc(before) + 0.03
    assert after.health()["failed"] == 0 and before.health()["failed"] == 1
    assert all((after.health() | {"auc": auc})[key] > least for key, least in more.items())
    if name == "contrastive":
        assert after.health()["alignment"] < before.health()["alignment"]


def test_trap_16_52_it_ends_sound_and_its_untrained_self_does_not(network):
    name, detector, _ = network
    assert detector.health()["failed"] == 0
    assert fitted(name, epochs=0, **({"pretrain": 0} if "svdd" in name else {})).health()["failed"] == 1


@pytest.mark.parametrize("name", FIVE)
def test_trap_10_the_level_of_a_record_reaches_its_score(name):
    """No network scales a record by itself: three times as large is far from normal, however alike in shape."""
    detector, x = fitted(name, epochs=2), NETWORKS[name][1](60, 1)
    assert np.median(detector.score(3 * x)) > np.quantile(detector.score(x), 0.95)


@pytest.mark.parametrize("name", FIVE)
def test_trap_44_labels_are_not_looked_at(name):
    y = np.arange(60, dtype=np.int16) % 2
    x = NETWORKS[name][1](60, 0)
    assert not NETWORKS[name][0].needs_labels
    assert np.array_equal(fitted(name, x, y=y, epochs=1).score(x), fitted(name, x, epochs=1).score(x))


def test_what_makes_its_score_changes_where_a_row_was_spoilt(network):
    _, detector, x = network
    spoilt = x[:20].copy()
    inside = np.zeros(x.shape[1:], bool)
    inside[(..., slice(3, 5), slice(6, 10)) if x.ndim == 4 else slice(66, 80)] = True
    spoilt[:, inside] += 4
    parts = detector.attribution(spoilt)
    assert parts.shape == spoilt.shape and parts.dtype == np.float64
    change = np.abs(parts - detector.attribution(x[:20]))
    assert change[:, inside].mean() > 3 * change[:, ~inside].mean()
    again = type(detector)(detector.params, Context(seed=9))
    again.load_state(detector.state())
    assert np.array_equal(again.attribution(spoilt), parts)


TRIMMED = {  # anomalies of which the first stand among the fit rows, settings, what is compared, and by how much
    "deep_svdd": (lambda: pictures(96, 3, odd=4.0), 16, {"epochs": 14}, "score", 1.2),
    "hetero_vae": (lambda: pictures(96, 3, odd=4.0), 16, {"epochs": 14}, "attribution", 1.1),
    "tadgan": (lambda: 3 * task("tadgan").odd, 24, {"alpha": 1.0, "epochs": 14, "patience": 40}, "errors", 1.0),
    "lstm_ae": (lambda: bursts(80), 36, {}, "score", 2.0),
}


def bursts(n):
    """(n, 12, 6): one pattern that no calm sequence has."""
    rng = np.random.default_rng(4)
    x = rng.uniform(2, 3, (n, 1, 1)) * rng.standard_normal((1, 12, 6)) + 0.1 * rng.standard_normal((n, 12, 6))
    return x.astype(np.float32)


def measured(detector, what, x):
    """Scores, error maps or errors of the rows."""
    if what == "errors":
        return detector._errors(detector._fitted(), detector._windows(x))
    return getattr(detector, what)(x)


@pytest.mark.parametrize(
    "name", ["deep_svdd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hetero_vae", "tadgan", "lstm_ae"))]
)
def test_anomalies_among_the_fit_rows_are_trimmed(name):
    make, shown, settings, what, factor = TRIMMED[name]
    odd, ratio = make(), {}
    for trim in (0.15, 0.0):
        detector = task(name).fitted(np.concatenate([task(name).fit, odd[:shown]]), trim=trim, **settings)
        ratio[trim] = np.median(measured(detector, what, odd[shown:])) / np.median(
            measured(detector, what, task(name).calm)
        )
    assert ratio[0.15] > factor * ratio[0.0]


# --- the rows of each purpose -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIVE)
def test_trap_26_reference_scores_are_of_rows_that_were_not_trained_on(name):
    cls, make, small = NETWORKS[name]
    seen = []

    class Watched(cls):
        def fit(self, x, y=None):
            seen.append(np.array(x))
            super().fit(x, y)

    x, fold = make(190, 0), (np.arange(190) % 5).astype(np.int8)
    settings = check_settings(cls.Params, {**small, "epochs": 1}, "d")
    task = FitTask("d", Watched, settings, Context(), ArrayRef(x), np.arange(190), fold, cross_fit=cls.cross_fit)
    reference = fit_task(task).reference
    judged = np.flatnonzero(np.isfinite(reference))
    rows = {row.tobytes() for part in seen for row in part}
    assert len(judged) == 38 and not rows & {x[i].tobytes() for i in judged}


@pytest.mark.parametrize("name", STOPPING)
def test_trap_53_rows_that_stop_a_training_are_not_trained_on(name, monkeypatch):
    """With trap 26: training, stopping and calibration each have rows of their own; judged rows are none of them."""
    module, held, rows = module_of(name), [], []
    split, minibatches = module.split, sampling.minibatches

    def split_seen(*given):
        parts = split(*given)
        held.extend(parts[0])
        return parts

    def minibatches_seen(part, *given):
        rows.extend(part)
        return minibatches(part, *given)

    monkeypatch.setattr(module, "split", split_seen)
    monkeypatch.setattr(module if hasattr(module, "minibatches") else sampling, "minibatches", minibatches_seen)
    groups = np.arange(90) // 3
    fitted(name, ctx=Context(groups=groups), epochs=7)
    assert len(held) == 9 and rows and not set(groups[held]) & set(groups[rows])
    assert set(rows) <= set(range(90))


@pytest.mark.parametrize("name", ["lstm_ae", "tadgan", "contrastive"])
def test_trap_52_the_weights_of_the_best_look_are_put_back(name, monkeypatch):
    """The LSTM-AE reference keeps the best model and scores with the last one."""
    module, seen = module_of(name), []

    class Told(module.EarlyStopping):
        def stop(self, loss, error=0.0):
            seen.append(arrays(self.module))
            return super().stop([3.0, 1.0, 2.0, 2.0][len(seen) - 1])

    monkeypatch.setattr(module, "EarlyStopping", Told)
    state = fitted(name, epochs=4).state()
    assert len(seen) == 4
    same = [all(np.array_equal(state[key], value) for key, value in weights.items()) for weights in seen]
    assert same == [False, True, False, False]


def test_trap_44_thresholds_come_from_budgets_and_not_from_labels():
    """The GAN reference cuts where F1 on the test labels is best."""
    host = PluginHost.create(autoload=False, environ={})
    batch, y = make_batch(vectors(150, 0)[:, None], fs=160.0), (np.arange(150) < 30).astype(np.int16)
    use = {"use": "lstm_ae", "view": "raw", **NETWORKS["lstm_ae"][2]}
    table = {"detectors": [use], "fuser": {"use": "weighted_mean"}, "thresholder": {"use": "quantile"}}
    plan = make_plan(host, "one", table | {"budgets": {"attention": 0.1, "alarm": 0.04}})
    cuts = []
    for labels in (None, y):
        engine = Engine(host, Context())
        model, report, _ = fit_ensemble(engine, plan, batch, make_rows(batch), labels, sensitivity=False, trial=False)
        cuts.append((model.cuts.attention, model.cuts.alarm))
        fused = model.reference["fused"]
        assert report.rows["reference"] == len(fused) == 30 and report.rows["fit"] == 150  # as the manifest names them
        assert 0.03 < np.mean(fused > model.cuts.attention) < 0.2  # a budget of 0.1; the labels say 0.2
    assert cuts[0] == cuts[1] and cuts[0][0] < cuts[0][1]


# --- the same again ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_trap_13_56_two_fits_give_the_same_bytes_and_leave_torch_as_it_was(network):
    name, detector, x = network
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert np.array_equal(fitted(name).score(x), detector.score(x))
    assert not np.array_equal(fitted(name, seed=1).score(x), detector.score(x))
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads


@pytest.mark.parametrize("name", FIVE)
def test_trap_01_every_public_path_runs(name):
    cls, make, small = NETWORKS[name]
    x = make(60, 0)
    blank = cls.make(small, Context())
    for use in (lambda: blank.score(x), blank.state, blank.health):
        with pytest.raises(NotFittedError, match=name):
            use()
    detector = fitted(name, x, epochs=1)
    back = cls.make({**small, "epochs": 1}, Context())
    back.load_state(detector.state())
    assert detector.score(x).shape == (60,) and detector.score(x).dtype == np.float64
    assert back.health() == detector.health() and "failed" in detector.health()


def test_state_is_enough(network):
    name, detector, x = network
    restored(*NETWORKS[name][::2], detector, x)


def restored(cls, settings, detector, x):
    """The state is plain arrays, and all that a detector of another seed needs to give the same bytes."""
    state = {key: np.array(array) for key, array in detector.state().items()}
    assert all(array.dtype.kind in "biuf" for array in state.values())
    back = cls.make(settings, Context(seed=9))
    with pytest.raises(NotFittedError):
        back.score(x)
    back.load_state(state)
    assert np.array_equal(back.score(x), detector.score(x)) and back.health() == detector.health()


@pytest.mark.parametrize(
    ("name", "shape", "settings"),
    [("tadgan", (48,), {"critic": "transformer"})]
    + [("contrastive", shape, {"head": head}) for shape in ((48,), (1, 256), (1, 16, 16)) for head in HEADS],
    ids=str,
)
def test_state_is_enough_for_every_form_of_rows_and_settings(name, shape, settings):
    x = np.random.default_rng(0).standard_normal((60, *shape)).astype(np.float32)
    restored(NETWORKS[name][0], NETWORKS[name][2] | settings, fitted(name, x, epochs=1, **settings), x)


def test_trap_25_43_47_51_one_record_scores_as_among_many_and_always_alike(network):
    _, detector, x = network
    whole = detector.score(x)
    assert np.array_equal(np.concatenate([detector.score(x[i : i + 1]) for i in range(5)]), whole[:5])
    assert np.array_equal(detector.score(x[::-1])[::-1], whole) and np.array_equal(detector.score(x), whole)
    assert np.array_equal(detector.score(np.concatenate([x[:5], 50 * x]))[:5], whole[:5])
    for huge in (3e38, -3e38):
        assert np.isfinite(detector.score(np.full_like(x[:2], huge))).all()


@pytest.mark.parametrize("name", ["deep_svdd", "hetero_vae"])
def test_trap_34_images_are_read_by_minibatch(name, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", pictures(128, 0))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    most, apply = 0, deep_images.Pixels.apply

    def watched(self, x):
        nonlocal most
        most = max(most, len(x))
        return apply(self, x)

    monkeypatch.setattr(deep_images.Pixels, "apply", watched)
    monkeypatch.setattr(sphere if name == "deep_svdd" else module_of(name), "CHUNK", 64)
    detector = task(name).fitted(mapped, epochs=4)
    assert most <= 64
    assert np.isfinite(detector.score(mapped)).all()


def test_trap_20_no_torchvision_and_no_opencv():
    assert not {"torchvision", "cv2"} & set(sys.modules)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIVE)
def test_rows_that_cannot_be_learned_from_are_refused(name):
    one = NETWORKS[name][1](1, 0)
    for rows, words in (
        (one, "too few"),
        (np.repeat(one, 60, axis=0), "constant"),
        (0 * np.repeat(one, 60, 0), "constant"),
    ):
        with pytest.raises(NotApplicableError, match=words):
            fitted(name, rows)
    with pytest.raises(NotApplicableError, match="no images|needed|fewer than two"):
        fitted(name, np.zeros((60, 2, 1, 1, 16), np.float32))


@pytest.mark.parametrize(
    ("name", "shape", "settings", "words"),
    [
        ("deep_svdd", (60, 256), {}, "no images"),
        ("deep_svdd", (60, 1, 3, 64), {}, "no images"),
        ("hetero_vae", (60, 256), {}, "no images"),
        ("hetero_vae", (60, 3, 64, 3), {}, "no images"),
        ("tadgan", (5, 24), {}, "too few"),
        ("tadgan", (120, 1, 8, 8), {}, "no images"),
        ("tadgan", (36, 24), {"batch": 20}, "fewer than 5 batches of 8"),
        ("tadgan", (24, 24), {"batch": 6}, "fewer than 5 batches of 6"),
        ("contrastive", (5, 24), {}, "too few"),
        ("contrastive", (60, 3), {}, "values a side"),
        ("contrastive", (60, 1, 16, 3), {}, "values a side"),
        ("contrastive", (60, 2, 1, 16, 16), {}, "values a side"),
        ("lstm_ae", (5, 16, 8), {"patch": 0}, "too few"),
        ("lstm_ae", (60, 128), {"patch": 0}, "sequence"),
        ("lstm_ae", (60, 128), {"patch": 100}, "fewer than two"),
        ("lstm_ae", (60, 1, 8192), {"patch": 2}, "too many"),
    ],
)
def test_what_a_network_cannot_learn_from_is_said(name, shape, settings, words):
    with pytest.raises(NotApplicableError, match=words):
        fitted(name, np.ones(shape, np.float32), **settings)


@pytest.mark.parametrize("name", FIVE)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_counted_and_refused(name, value):
    rows = NETWORKS[name][1](90, 0).copy()
    rows.reshape(90, -1)[[3, 70, 89], 7] = value
    with pytest.raises(NotApplicableError, match="3 values that are not finite"):
        fitted(name, rows)


@pytest.mark.parametrize("name", ["deep_svdd", "hetero_vae", "lstm_ae"])
def test_rows_of_another_shape_than_those_of_the_fit_are_an_error(name):
    detector, x = fitted(name, epochs=1), NETWORKS[name][1](2, 0)
    with pytest.raises(ValueError, match="shape .* but those of the fit had"):
        detector.score(x[..., : x.shape[-1] // 2])


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [(name, "patience", 10**7) for name in FIVE]
    + [(name, "window", 10**7) for name in ("tadgan", "contrastive")]
    + [("tadgan", "hop", 10**7), ("deep_svdd", "nu", 1.5)],
)
def test_settings_have_bounds(name, setting, value):
    with pytest.raises(ConfigError, match=setting):
        NETWORKS[name][0].make({setting: value}, Context())


# --- progress, and going on after a kill ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIVE)
def test_progress_rises_to_its_end(name):
    done = []
    fitted(name, ctx=Context(progress=lambda *step: done.append(step)), epochs=3)
    total = 3 + NETWORKS[name][2].get("pretrain", 0)
    assert done == [(k, total) for k in range(1, total + 1)]


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
    first = fitted("lstm_ae", ctx=ctx, epochs=4)
    done.clear()
    assert np.array_equal(fitted("lstm_ae", ctx=ctx, epochs=4).score(vectors(9, 1)), first.score(vectors(9, 1)))
    assert done == []


@pytest.mark.parametrize("change", ["seed", "settings", "rows", "damage"])
def test_what_another_training_left_is_not_taken(change, tmp_path):
    with pytest.raises(Killed):
        fitted("lstm_ae", ctx=Context(progress=killer(3), scratch=tmp_path), epochs=5)
    rows = vectors(90, 7) if change == "rows" else 90
    settings = {"epochs": 5} | ({"trim": 0.1} if change == "settings" else {})
    ctx = Context(seed=5 if change == "seed" else 0)
    if change == "damage":
        file = tmp_path / "train.npz"
        file.write_bytes(file.read_bytes()[:-200])
    done = []
    told = replace(ctx, progress=lambda k, total: done.append(k), scratch=tmp_path)
    again = fitted("lstm_ae", rows, ctx=told, **settings)
    assert done[0] == 1
    assert np.array_equal(again.score(vectors(9, 1)), fitted("lstm_ae", rows, ctx=ctx, **settings).score(vectors(9, 1)))


def test_without_a_scratch_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fitted("lstm_ae", epochs=1)
    assert list(tmp_path.iterdir()) == []


# --- ensembles --------------------------------------------------------------------------------------------------------


def test_full_is_a_plan_of_large_networks():
    host = PluginHost.create(autoload=False, environ={})
    plan = make_plan(host, "full", host.registry.ensemble("full"))
    networks = {d.id: d.params for d in plan.detectors if d.id in FIVE}
    assert set(networks) == set(FIVE) and all(params.epochs == 100 for params in networks.values())
    assert {d.view.settings["size"] for d in plan.detectors if d.view.name in ("hetero", "cwt_image")} == {224}
    assert all(networks[name].backbone == "resnet18" for name in ("deep_svdd", "hetero_vae"))
    assert networks["contrastive"].shift and networks["contrastive"].mask  # its picture is a map over time
