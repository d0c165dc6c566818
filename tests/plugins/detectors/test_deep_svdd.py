"""Deep SVDD: it learns, does not collapse unseen, has no way to a trivial solution, and uses labels only where it says so."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from vibro.api import ConfigError, Context, NotApplicableError
from vibro_plugins.deep import images as _images
from vibro_plugins.deep import resnet as _resnet
from vibro_plugins.detectors import deep_svdd
from vibro_plugins.detectors.deep_svdd import AWAY, Decoder, DeepSad, DeepSvdd, DeepSvddParams, Encoder, centre_of

SMALL = {"width": 4, "code": 8, "pretrain": 0, "epochs": 8, "batch": 16, "lr": 0.003, "trim": 0.05}


def images(n, seed, odd=0.0):
    """(n, 1, 16, 24): three patterns of random amplitude and noise; ``odd`` amplitude of a fourth one."""
    rng = np.random.default_rng(seed)
    h = np.linspace(0, 2 * np.pi, 16, endpoint=False)[:, None]
    w = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    patterns = np.stack([np.sin(h) * np.cos(w), np.cos(h) + 0 * w, np.sin(2 * h) * np.sin(w)])
    x = np.einsum("nk,khw->nhw", rng.uniform(-2, 2, (n, 3)), patterns) + 0.3 * rng.standard_normal((n, 16, 24))
    return (x + odd * np.sin(3 * h + 2 * w))[:, None].astype(np.float32)


CALM, ODD = images(80, 1), images(80, 2, odd=1.5)
FIT = images(128, 0)
FIT.setflags(write=False)


def fitted(x=FIT, seed=0, cls=DeepSvdd, y=None, **settings):
    detector = cls.make({**SMALL, **settings}, Context(seed=seed))
    detector.fit(x, y)
    return detector


@pytest.fixture(scope="module")
def trained():
    return fitted(pretrain=3)


def auc(detector):
    """Odd images against calm ones, none of them fitted on."""
    return np.mean(detector.score(ODD)[:, None] > detector.score(CALM))


def failed(x=FIT, **settings):
    """Whether a fit is skipped or declares itself failed."""
    try:
        return fitted(x, **settings).health()["failed"] == 1
    except NotApplicableError:
        return True


def test_learns_more_than_its_untrained_self(trained):
    untrained = fitted(pretrain=0, epochs=0)
    assert auc(trained) > auc(untrained) + 0.03
    assert trained.health()["failed"] == 0
    assert untrained.health()["failed"] == 1


# --- the traps of the reference plan ----------------------------------------------------------------------------------


def test_trap_14_no_bias_and_no_norm_in_any_layer():
    for backbone in ("small", "resnet18"):
        net = Encoder(2, (32, 40), DeepSvddParams(backbone=backbone, width=4, code=6)).eval()
        assert not [name for name, _ in net.named_parameters() if not name.endswith("weight")]
        assert not [
            m for m in net.modules() if "Norm" in type(m).__name__ or isinstance(m, nn.ReLU | nn.Sigmoid | nn.Tanh)
        ]
        x = torch.randn(3, 2, 32, 40)
        torch.testing.assert_close(net(2 * x), 2 * net(x), rtol=1e-4, atol=1e-4)
        assert net(0 * x).abs().max() == 0


def test_trap_15_the_radius_is_a_quantile_over_all_rows_and_is_saved(trained):
    share = np.mean(trained.score(FIT) > trained.state()["radius"])
    assert 0.04 < share < 0.12  # nu = .05 of the rows kept, and the trimmed ones
    seen = []

    class Watched(DeepSvdd):
        def _loss(self, squared, sign):
            seen.append(self._radius)
            return super()._loss(squared, sign)

    soft = Watched.make({**SMALL, "objective": "soft", "nu": 0.2}, Context())
    soft.fit(FIT)
    assert len(set(seen)) == SMALL["epochs"] and min(seen) > 0  # renewed once an epoch, not by batch, never 0
    assert 0.15 < np.mean(soft.score(FIT) > soft.state()["radius"]) < 0.3


def test_trap_16_the_last_weights_are_returned_and_not_those_of_the_lowest_loss(monkeypatch):
    nets = []
    epoch = DeepSvdd._epoch

    def watched(self, net, *rest):
        epoch(self, net, *rest)
        nets.append({name: value.detach().numpy().copy() for name, value in net.state_dict().items()})

    monkeypatch.setattr(DeepSvdd, "_epoch", watched)
    state = fitted().state()
    assert len(nets) == SMALL["epochs"]
    assert all(np.array_equal(state[f"net.{name}"], value) for name, value in nets[-1].items())


def test_trap_17_few_rows_and_a_ragged_last_batch():
    seen = []

    class Watched(DeepSvdd):
        def _loss(self, squared, sign):
            seen.append(len(squared))
            return super()._loss(squared, sign)

    detector = Watched.make({**SMALL, "epochs": 2, "batch": 32, "trim": 0.0}, Context())
    detector.fit(FIT[:99])
    assert sum(seen) == 2 * 99 and max(seen) - min(seen) <= 1  # every row in every epoch, no small rest
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = Encoder(1, (16, 24), DeepSvddParams(width=4, code=8)).eval()
    with torch.no_grad():
        codes = first(torch.tensor(_images.Pixels.fit(FIT[:99]).apply(FIT[:99]))).numpy()
    np.testing.assert_allclose(detector.state()["centre"], centre_of(codes.astype(float)), atol=1e-5)
    with pytest.raises(NotApplicableError, match="too few"):
        fitted(FIT[:19])


def test_trap_18_no_centre_coordinate_near_zero(trained):
    codes = np.array([[0.0, -0.01, 0.05, 3.0, -0.2]] * 4)
    np.testing.assert_allclose(centre_of(codes), [AWAY, -AWAY, AWAY, 3.0, -0.2], atol=1e-6)
    assert np.abs(trained.state()["centre"]).min() >= np.float32(AWAY)


def test_trap_19_the_decoder_is_no_dense_layer_to_the_pixels():
    p = DeepSvddParams(backbone="resnet18", code=128)
    encoder = Encoder(3, (224, 224), p)
    decoder = Decoder(encoder, 3, (224, 224))
    assert sum(v.numel() for v in decoder.up.parameters()) < 10e6
    assert sum(v.numel() for v in decoder.parameters()) < 20e6
    assert decoder(torch.zeros(1, 128)).shape == (1, 3, 224, 224)


def test_trap_20_no_torchvision_and_no_opencv(trained):
    assert not {"torchvision", "cv2"} & set(sys.modules)
    net = _resnet.trunk(3, "resnet18", 8, bias=False)[0]
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 512, 2, 2)
    assert 10e6 < sum(v.numel() for v in net.parameters()) < 12e6


def test_trap_34_images_are_read_by_minibatch(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", FIT)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    most = 0
    apply = _images.Pixels.apply

    def watched(self, x):
        nonlocal most
        most = max(most, len(x))
        return apply(self, x)

    monkeypatch.setattr(_images.Pixels, "apply", watched)
    monkeypatch.setattr(deep_svdd, "CHUNK", 64)
    detector = fitted(mapped, epochs=2)
    assert most <= 64
    assert np.isfinite(detector.score(mapped)).all()


# --- health: twenty-one broken networks, twenty sound ones -------------------------------------------------------------


def biased(monkeypatch):
    monkeypatch.setattr(deep_svdd, "trunk", lambda c, b, w, bias: _resnet.trunk(c, b, w, bias=True))
    monkeypatch.setattr(_resnet.nn.init, "zeros_", lambda bias: bias.data.fill_(0.1))


def last_layer(make):
    """The encoder with another last layer, made from the usual one."""

    def breakage(monkeypatch):
        init = Encoder.__init__

        def broken(self, *args):
            init(self, *args)
            self.out = make(self.out)

        monkeypatch.setattr(Encoder, "__init__", broken)

    return breakage


def with_bias(layer):
    return nn.Linear(layer.in_features, layer.out_features)


def not_a_number(layer):
    nn.init.constant_(layer.weight, float("nan"))
    return layer


def codes(change):
    """The encoder with ``change(forward, x)`` in the place of its forward pass."""

    def breakage(monkeypatch):
        forward = Encoder.forward
        monkeypatch.setattr(Encoder, "forward", lambda self, x: change(lambda y: forward(self, y), x))

    return breakage


def centre(change):
    def breakage(monkeypatch):
        monkeypatch.setattr(deep_svdd, "centre_of", lambda found: change(centre_of(found)).astype(np.float32))

    return breakage


def first_zero(found):
    found[0] = 0
    return found


def dead(monkeypatch):
    monkeypatch.setattr(deep_svdd, "start", lambda layer: nn.init.zeros_(layer.weight))


def one_direction(monkeypatch):
    monkeypatch.setattr(deep_svdd, "start", lambda layer: nn.init.constant_(layer.weight, 0.05))


def pushed_away(monkeypatch):
    loss = DeepSvdd._loss
    monkeypatch.setattr(DeepSvdd, "_loss", lambda self, squared, sign: -loss(self, squared, sign))


def no_step(monkeypatch):
    """As a release of a known library had it, whose backward pass was commented out."""
    monkeypatch.setattr(deep_svdd, "step", lambda optimizer, loss: optimizer.step())


BROKEN = {
    "bias on": (biased, {}),
    "bias in the last layer": (last_layer(with_bias), {}),
    "a weight that is no number": (last_layer(not_a_number), {}),
    "centre 0": (centre(lambda found: 0 * found), {}),
    "one centre coordinate 0": (centre(first_zero), {}),
    "centre far away": (centre(lambda found: found + 1e4), {}),
    "the same code for all": (codes(lambda net, x: net(torch.ones_like(x))), {}),
    "nothing reaches the network": (codes(lambda net, x: net(0 * x)), {}),
    "records mixed": (codes(lambda net, x: net(x.mean(0, keepdim=True).expand_as(x))), {}),
    "codes of signs": (codes(lambda net, x: torch.sign(net(x))), {}),
    "saturated codes": (codes(lambda net, x: torch.tanh(1000 * net(x))), {}),
    "dead last layer": (dead, {"epochs": 1}),
    "codes of one direction": (one_direction, {"epochs": 1, "lr": 1e-5}),
    "learning rate 10": (None, {"lr": 10.0}),
    "learning rate 3, soft": (None, {"lr": 3.0, "objective": "soft"}),
    "learning rate 1": (None, {"lr": 1.0}),
    "learning rate next to 0": (None, {"lr": 1e-9}),
    "no step": (no_step, {}),
    "pushed away": (pushed_away, {}),
    "zero epochs": (None, {"epochs": 0}),
    "weight decay 10": (None, {"weight_decay": 10.0, "epochs": 40, "lr": 0.01}),
}
KINDS = [{}, {"width": 6, "code": 16, "lr": 0.002, "pretrain": 1}]
SOUND = [
    {"seed": 1},
    {"seed": 2},
    {"pretrain": 2},
    {"objective": "soft"},
    {"objective": "soft", "nu": 0.3},
    {"width": 8},
    {"code": 32},
    {"trim": 0.0},
    {"trim": 0.2, "batch": 32},
    {"weight_decay": 0.0, "epochs": 4},
]


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_health_tells_a_broken_network(name, monkeypatch):
    breakage, settings = BROKEN[name]
    if breakage:
        breakage(monkeypatch)
    assert failed(**settings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("settings", SOUND, ids=str)
def test_health_leaves_a_sound_network_alone(settings, kind):
    assert fitted(**kind | settings).health()["failed"] == 0


# --- contamination, labels, state, refusals ---------------------------------------------------------------------------


def test_anomalies_among_the_fit_rows_are_trimmed():
    odd = images(96, 3, odd=4.0)
    pool = np.concatenate([FIT, odd[:16]])
    ratio = {}
    for trim in (0.15, 0.0):
        detector = fitted(pool, trim=trim, epochs=14)
        ratio[trim] = np.median(detector.score(odd[16:])) / np.median(detector.score(CALM))
    assert ratio[0.15] > 1.2 * ratio[0.0]


def test_labels_push_known_anomalies_away():
    pool = np.concatenate([FIT, images(16, 3, odd=1.5)])
    y = np.full(len(pool), -1, np.int16)
    y[:20], y[128:] = 0, 1
    sad = fitted(pool, cls=DeepSad, y=y)
    assert auc(sad) > auc(fitted(pool)) + 0.02
    assert np.array_equal(fitted(pool, y=y).score(CALM), fitted(pool).score(CALM))  # deep_svdd looks at no label
    for labels in (None, np.zeros(len(pool), np.int16)):
        with pytest.raises(NotApplicableError, match="labelled as anomalous"):
            fitted(pool, cls=DeepSad, y=labels)
    y[:] = 1
    for others, words in ((0, "0 fit rows are not"), (19, "19 fit rows are not")):
        y[:others] = 0
        with pytest.raises(NotApplicableError, match=words):
            fitted(pool, cls=DeepSad, y=y)
    y[:40] = 0
    assert np.isfinite(fitted(pool, cls=DeepSad, y=y).score(CALM)).all()


def test_it_stops_when_rows_come_no_closer():
    done = []
    detector = DeepSvdd.make(
        {**SMALL, "epochs": 200, "patience": 2, "lr": 1e-7}, Context(progress=lambda *step: done.append(step))
    )
    detector.fit(FIT)
    assert done[-1][0] < 20


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.ones((60, 1, 16, 16), np.float32), "constant"),
        (np.repeat(CALM[:1], 60, axis=0), "constant"),
        (CALM[:1], "too few"),
        (np.ones((60, 256), np.float32), "no images"),
        (np.ones((60, 1, 3, 64), np.float32), "no images"),
    ],
)
def test_what_cannot_be_learned_from_is_said(rows, words):
    with pytest.raises(NotApplicableError, match=words):
        fitted(rows)


def test_other_rows_than_those_of_the_fit(trained):
    huge = np.full((2, 1, 16, 24), 3e38, np.float32)
    assert np.isfinite(trained.score(huge)).all()
    with pytest.raises(ValueError, match="shape"):
        trained.score(CALM[:, :, :8])
    with pytest.raises(ConfigError, match="nu"):
        DeepSvdd.make({"nu": 1.5}, Context())


def test_rows_known_as_normal_are_trained_on_however_far_they_lie(monkeypatch):
    pool = np.concatenate([images(60, 1), images(12, 2, odd=3.0), images(8, 3, odd=-3.0)])
    y = np.repeat(np.array([-1, 0, 1], np.int16), [60, 12, 8])
    epochs = []

    def seen(detector, net, optimizer, x, sign, parts):
        epochs.append(set(np.concatenate(parts)))

    monkeypatch.setattr(DeepSvdd, "_epoch", seen)
    fitted(pool, cls=DeepSad, y=y, trim=0.3)
    assert epochs and all(set(range(60, 80)) <= rows and len(rows) == 62 for rows in epochs)
