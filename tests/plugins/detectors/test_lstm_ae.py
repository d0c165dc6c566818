"""LSTM auto-encoder: it learns, says when it has not, keeps records apart and forgets nothing it saved."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibro.api import Context, NotApplicableError
from vibro_plugins.deep.training import step
from vibro_plugins.detectors import lstm_ae
from vibro_plugins.detectors.lstm_ae import AutoEncoder, LstmAe

SMALL = {"patch": 0, "hidden": 24, "code": 6, "epochs": 30, "batch": 16, "lr": 0.01}


@pytest.fixture(scope="module")
def sequences():
    """360 calm and 40 disturbed sequences of 12 steps and 6 values: two modes of random amplitude; faults come steps later."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    modes = np.stack([np.outer(np.sin(t), rng.standard_normal(6)), np.outer(np.cos(2 * t), rng.standard_normal(6))])
    x = np.einsum("nk,ktf->ntf", rng.uniform(-2, 2, (400, 2)), modes) + 0.1 * rng.standard_normal((400, 12, 6))
    x[360:] = np.roll(x[360:], 3, axis=1)
    x = x.astype(np.float32)
    x.setflags(write=False)
    return x


def fitted(x, seed=0, **settings):
    detector = LstmAe.make({**SMALL, **settings}, Context(seed=seed))
    detector.fit(x)
    return detector


@pytest.fixture(scope="module")
def trained(sequences):
    return fitted(sequences[:300])


def auc(score):
    """Disturbed rows 360.. against the calm ones that were not fitted on."""
    return np.mean(score[360:, None] > score[None, 300:360])


def test_learns_more_than_its_untrained_self(trained, sequences):
    untrained = fitted(sequences[:300], epochs=0)
    assert auc(trained.score(sequences)) > auc(untrained.score(sequences)) + 0.03
    assert trained.health()["failed"] == 0 and trained.health()["gain"] > 0.2
    assert untrained.health()["failed"] == 1


def test_trap_51_records_do_not_mix(trained, sequences):
    whole = trained.score(sequences)
    assert np.array_equal(np.concatenate([trained.score(sequences[i : i + 1]) for i in range(5)]), whole[:5])
    assert np.array_equal(trained.score(sequences[::-1])[::-1], whole)
    net = AutoEncoder(8, 12, 3).eval()
    a, b = torch.randn(4, 12, 8), torch.randn(4, 12, 8)
    a[2] = b[2]
    torch.testing.assert_close(net(a)[2], net(b)[2])


@pytest.mark.slow
def test_anomalies_among_the_fit_rows_are_trimmed(sequences):
    rng = np.random.default_rng(4)
    odd = rng.uniform(2, 3, (80, 1, 1)) * rng.standard_normal((1, 12, 6)) + 0.1 * rng.standard_normal((80, 12, 6))
    pool = np.concatenate([sequences[:300], odd[:36].astype(np.float32)])
    ratio = {}
    for trim in (0.15, 0.0):
        detector = fitted(pool, trim=trim)
        calm = detector.score(sequences[300:360])
        ratio[trim] = np.median(detector.score(odd[40:].astype(np.float32))) / np.median(calm)
    assert ratio[0.15] > 2 * ratio[0.0]


# --- health: twenty broken networks, twenty sound ones -----------------------------------------------------------------


def forward(change):
    """``change(net, forward, x)`` in the place of the network's forward pass."""

    def breakage(monkeypatch):
        usual = AutoEncoder.forward
        monkeypatch.setattr(AutoEncoder, "forward", lambda self, x: change(self, lambda y: usual(self, y), x))

    return breakage


def built(change):
    """The network after ``change(net)``."""

    def breakage(monkeypatch):
        init = AutoEncoder.__init__

        def broken(self, *sizes):
            init(self, *sizes)
            change(self)

        monkeypatch.setattr(AutoEncoder, "__init__", broken)

    return breakage


def stepped(change):
    """``change(optimizer, loss)`` in the place of a step."""
    return lambda monkeypatch: monkeypatch.setattr(
        lstm_ae, "step", lambda optimizer, loss, clip: change(optimizer, loss)
    )


def frozen_at(value, *parts):
    def change(net):
        for part in parts:
            for parameter in getattr(net, part).parameters():
                torch.nn.init.constant_(parameter, value).requires_grad_(False)

    return built(change)


def only_biases(net):
    for name, parameter in net.named_parameters():
        parameter.requires_grad_("bias" in name)


def mixed_as_in_the_reference(net, rebuilt, x):
    code = net.encoder[1](net.encoder[0](x)[0])[1][0][-1]
    code = code.repeat(x.shape[1], 1).reshape(len(x), x.shape[1], -1)
    return net.out(net.decoder[1](net.decoder[0](code)[0])[0])


def shaken(optimizer, loss):
    step(optimizer, loss)
    with torch.no_grad():
        for parameter in optimizer.param_groups[0]["params"]:
            parameter += torch.randn_like(parameter)


def best_never_kept(monkeypatch):
    monkeypatch.setattr(lstm_ae.EarlyStopping, "stop", lambda self, loss: False)


def one_row(monkeypatch):
    monkeypatch.setattr(lstm_ae, "minibatches", lambda rows, size, rng: [rows[:1]])


BROKEN = {
    "zero epochs": (None, {"epochs": 0}),
    "learning rate 10": (None, {"lr": 10.0}),
    "learning rate 1": (None, {"lr": 1.0}),
    "learning rate next to 0": (None, {"lr": 1e-9, "epochs": 3}),
    "learning rate of a millionth": (None, {"lr": 1e-6, "epochs": 5}),
    "no step": (stepped(lambda optimizer, loss: optimizer.step()), {}),
    "upside down": (stepped(lambda optimizer, loss: step(optimizer, -loss)), {}),
    "weights shaken after every step": (stepped(shaken), {}),
    "best weights never kept": (best_never_kept, {}),
    "one row alone": (one_row, {}),
    "only biases learn": (built(only_biases), {}),
    "constant encoder": (frozen_at(0.1, "encoder"), {}),
    "constant decoder": (frozen_at(0.1, "decoder"), {}),
    "dead last layer": (frozen_at(0.0, "out"), {}),
    "a weight that is no number": (frozen_at(float("nan"), "out"), {}),
    "code 0": (forward(lambda net, rebuilt, x: rebuilt(0 * x)), {}),
    "records mixed": (forward(lambda net, rebuilt, x: rebuilt(x.mean(0, keepdim=True).expand_as(x))), {}),
    "codes of other records, as in the reference": (forward(mixed_as_in_the_reference), {}),
    "targets shuffled": (forward(lambda net, rebuilt, x: rebuilt(x[torch.randperm(len(x))])), {}),
    "drowned in noise": (forward(lambda net, rebuilt, x: rebuilt(x + 100 * torch.randn_like(x))), {}),
    "read backwards once trained": (forward(lambda net, rebuilt, x: rebuilt(x if net.training else x.flip(1))), {}),
}
SOUND = [
    {},
    {"seed": 1},
    {"seed": 2},
    {"code": 3},
    {"code": 4},
    {"code": 8, "seed": 1},
    {"code": 16},
    {"hidden": 16},
    {"hidden": 40},
    {"hidden": 32, "code": 4},
    {"lr": 0.005, "trim": 0.0},
    {"lr": 0.02},
    {"lr": 0.02, "epochs": 20},
    {"trim": 0.0},
    {"trim": 0.1, "batch": 24},
    {"trim": 0.2},
    {"batch": 10},
    {"batch": 32, "lr": 0.02},
    {"patience": 5},
    {"patch": 12},
]


def named(settings):
    return "-".join(f"{key}={value}" for key, value in settings.items()) or "usual"


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_health_tells_a_net_that_has_not_learned(sequences, name, monkeypatch):
    breakage, settings = BROKEN[name]
    if breakage:
        breakage(monkeypatch)
    try:
        assert fitted(sequences[:200], **{"epochs": 12, **settings}).health()["failed"] == 1
    except NotApplicableError as error:
        assert "diverged" in error.message


@pytest.mark.slow
@pytest.mark.parametrize("name", ["learning rate next to 0", "no step", "upside down"])
def test_health_tells_it_where_principal_axes_explain_little_too(many_modes, name, monkeypatch):
    breakage, settings = BROKEN[name]
    if breakage:
        breakage(monkeypatch)
    health = fitted(many_modes.reshape(240, 12, 16), **{"epochs": 4, **settings}).health()
    assert health["pca_explained"] < 0.1 and health["failed"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("settings", SOUND, ids=named)
def test_health_leaves_a_sound_net_alone(sequences, settings):
    rows = sequences[:200]
    assert fitted(rows.reshape(200, 1, -1) if "patch" in settings else rows, **settings).health()["failed"] == 0


def test_patches_of_records_and_of_vectors(sequences):
    records = sequences[:60, :8].reshape(60, 2, 24)
    detector = fitted(records, patch=5, epochs=2)
    assert detector.state()["centre"].shape == (5, 10)
    vectors = fitted(sequences[:60].reshape(60, 72), patch=10, epochs=2)
    assert vectors.state()["centre"].shape == (8, 10)
    assert np.isfinite(vectors.score(np.full((2, 72), 3e38, np.float32))).all()
    last = sequences[:60].reshape(60, 72).copy()
    last[:, 70:] += 100
    assert (vectors.score(last) > 2 * vectors.score(sequences[:60].reshape(60, 72))).all()
    with pytest.raises(ValueError, match="those of the fit"):
        vectors.score(np.zeros((2, 81), np.float32))


def test_a_longer_vector_has_longer_patches_not_more_steps():
    shapes = []
    for values in (1200, 9600):
        x = np.random.default_rng(0).standard_normal((60, values)).astype(np.float32)
        detector = LstmAe.make({"hidden": 2, "code": 1, "epochs": 0}, Context(seed=0))
        detector.fit(x)
        shapes.append(detector.state()["centre"].shape)
    assert shapes == [(48, 25), (64, 150)]


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        (np.zeros((5, 16, 8), np.float32), {}, "too few"),
        (np.ones((60, 16, 8), np.float32), {}, "constant"),
        (np.ones((60, 128), np.float32), {}, "sequence"),
        (np.ones((60, 128), np.float32), {"patch": 100}, "fewer than two"),
        (np.ones((60, 1, 8192), np.float32), {"patch": 2}, "too many"),
    ],
)
def test_what_cannot_be_learned_from_is_said(rows, settings, words):
    with pytest.raises(NotApplicableError, match=words):
        fitted(rows, **settings)


@pytest.mark.slow
def test_ecg5000_in_the_protocol_of_the_reference(real):
    """Fit on the first 80 % of normals in file order, cut from a part of them kept out of the fit; test on all the rest."""
    from sklearn.metrics import f1_score, roc_auc_score

    data = real("ecg5000")
    x, label = data["signals"][:, None, :], data["label"]
    normal = np.flatnonzero(label == 0)
    first = np.random.default_rng(0).permutation(normal[: int(0.8 * len(normal))])
    test = np.setdiff1d(np.arange(len(x)), first)
    detector = LstmAe.make({"patch": 10, "epochs": 60}, Context(seed=0))
    detector.fit(x[first[300:]])
    score = detector.score(x[test])
    cut = np.quantile(detector.score(x[first[:300]]), 0.95)
    assert roc_auc_score(label[test], score) >= 0.985
    assert f1_score(label[test], score > cut) >= 0.98
