"""Spatial VAE: it learns, its score weighs error and KL as stated, its latent stays in use, its error map shows where."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from vibro.api import Context, NotApplicableError
from vibro_plugins.deep import images as _images
from vibro_plugins.deep.training import step
from vibro_plugins.detectors import hetero_vae
from vibro_plugins.detectors.hetero_vae import HeteroVae, HeteroVaeParams, Vae, kl_mean

SMALL = {"width": 4, "latent": 2, "epochs": 12, "warm_up": 2, "batch": 16, "lr": 0.01, "trim": 0.05}


def images(n, seed, odd=0.0):
    """(n, 1, 16, 24): three patterns of random amplitude and noise; ``odd`` amplitude of a fourth one."""
    rng = np.random.default_rng(seed)
    h = np.linspace(0, 2 * np.pi, 16, endpoint=False)[:, None]
    w = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    patterns = np.stack([np.sin(h) * np.cos(w), np.cos(h) + 0 * w, np.sin(2 * h) * np.sin(w)])
    x = np.einsum("nk,khw->nhw", rng.uniform(-2, 2, (n, 3)), patterns) + 0.3 * rng.standard_normal((n, 16, 24))
    return (x + odd * np.sin(3 * h + 2 * w))[:, None].astype(np.float32)


CALM, ODD = images(80, 1), images(80, 2, odd=1.0)
FIT = images(128, 0)
FIT.setflags(write=False)


def fitted(x=FIT, seed=0, **settings):
    detector = HeteroVae.make({**SMALL, **settings}, Context(seed=seed))
    detector.fit(x)
    return detector


@pytest.fixture(scope="module")
def trained():
    return fitted()


def auc(detector):
    """Odd images against calm ones, none of them fitted on."""
    return np.mean(detector.score(ODD)[:, None] > detector.score(CALM))


def test_learns_more_than_its_untrained_self(trained):
    untrained = fitted(epochs=0)
    assert auc(trained) > auc(untrained) + 0.03
    assert trained.health()["failed"] == 0 and trained.health()["active"] >= 4
    assert untrained.health()["failed"] == 1


def test_the_latent_is_a_map_and_sizes_need_not_be_powers_of_two():
    net = Vae(3, (30, 40), HeteroVaeParams(width=4, latent=5))
    mean, log_variance = net.encode(torch.randn(2, 3, 30, 40))
    assert mean.shape == log_variance.shape == (2, 5, 4, 5)
    assert net.decode(mean).shape == (2, 3, 30, 40)
    full = Vae(3, (224, 224), HeteroVaeParams(backbone="resnet18", latent=64))
    assert full.encode(torch.zeros(1, 3, 224, 224))[0].shape == (1, 64, 7, 7)
    assert full.decode(torch.zeros(1, 64, 7, 7)).shape == (1, 3, 224, 224)


def test_trap_24_neither_term_of_the_score_drowns_the_other(trained):
    mean, log_variance = torch.randn(5, 2, 3, 4), torch.randn(5, 2, 3, 4)
    normal = torch.distributions.Normal(0, 1)
    wanted = torch.distributions.kl_divergence(torch.distributions.Normal(mean, (log_variance / 2).exp()), normal)
    torch.testing.assert_close(kl_mean(mean, log_variance), wanted.mean(dim=(1, 2, 3)))
    net = trained._net
    l1, kl = trained._l1(net, FIT), trained._kl(net, FIT)
    z = [(term - np.median(term)) / (1.4826 * np.median(np.abs(term - np.median(term)))) for term in (l1, kl)]
    np.testing.assert_allclose(trained.score(FIT), z[0] + 0.1 * z[1], atol=1e-5)
    alone = fitted(weight=0.0).score(FIT)
    np.testing.assert_allclose(alone, z[0], atol=1e-5)


def test_trap_19_20_decoder_and_imports():
    full = Vae(3, (224, 224), HeteroVaeParams(backbone="resnet18", latent=64))
    assert sum(v.numel() for v in full.up.parameters()) < 10e6
    assert not {"torchvision", "cv2"} & set(sys.modules)


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
    monkeypatch.setattr(hetero_vae, "CHUNK", 64)
    detector = fitted(mapped, epochs=4)
    assert most <= 64
    assert np.isfinite(detector.score(mapped)).all()


def test_trap_52_the_best_weights_after_the_warm_up_are_put_back(monkeypatch):
    looks = []

    class Watched(hetero_vae.EarlyStopping):
        def stop(self, loss):
            looks.append(loss)
            return super().stop(loss)

    monkeypatch.setattr(hetero_vae, "EarlyStopping", Watched)
    detector = fitted(lr=0.03, patience=3, epochs=40)
    assert 4 <= len(looks) < 38  # none in the warm-up, and it stopped by itself
    held = np.sort(Context().rng().permutation(len(FIT))[:12])
    loss = np.median(detector._l1(detector._net, FIT[held]) + 0.01 * detector._kl(detector._net, FIT[held]))
    assert loss == pytest.approx(min(looks), rel=1e-3)


def test_the_error_map_shows_where(trained):
    spoilt = CALM[:20].copy()
    spoilt[:, 0, 4:7, 10:14] += 4
    found = trained.error_map(spoilt)
    assert found.shape == spoilt.shape and found.dtype == np.float32
    rise = (found - trained.error_map(CALM[:20])).mean(axis=(0, 1))
    inside = np.zeros((16, 24), bool)
    inside[4:7, 10:14] = True
    assert rise[inside].mean() > 10 * abs(rise[~inside].mean())
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), trained._l1(trained._net, spoilt), rtol=1e-4)


# --- health: twenty broken networks, twenty sound ones -----------------------------------------------------------------


def dead_latent(monkeypatch):
    init = Vae.__init__

    def broken(self, *args):
        init(self, *args)
        nn.init.zeros_(self.moments.weight)
        self.moments.weight.requires_grad_(False)

    monkeypatch.setattr(Vae, "__init__", broken)


def deaf_decoder(monkeypatch):
    monkeypatch.setattr(Vae, "decode", lambda self, z: self.up(self.into(0 * z)))


def constant_output(monkeypatch):
    monkeypatch.setattr(Vae, "decode", lambda self, z: 0 * self.up(self.into(z)))


def three_units(monkeypatch):
    encode = Vae.encode

    def broken(self, x):
        mean, log_variance = encode(self, x)
        mask = torch.zeros_like(mean)
        mask[:, 0, 0, :3] = 1
        return mean * mask, log_variance

    monkeypatch.setattr(Vae, "encode", broken)


def not_a_number(monkeypatch):
    init = Vae.__init__

    def broken(self, *args):
        init(self, *args)
        nn.init.constant_(self.into.bias, float("nan"))

    monkeypatch.setattr(Vae, "__init__", broken)


def stepped(change):
    """change(optimizer, loss) in place of a step."""
    return lambda monkeypatch: monkeypatch.setattr(
        hetero_vae, "step", lambda optimizer, loss, clip=None: change(optimizer, loss)
    )


def shaken(optimizer, loss):
    step(optimizer, loss)
    with torch.no_grad():
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight += torch.randn_like(weight)


def encoded(change):
    """Latents of change(x) in place of those of x."""

    def breakage(monkeypatch):
        encode = Vae.encode
        monkeypatch.setattr(Vae, "encode", lambda self, x: encode(self, change(x)))

    return breakage


def best_never_kept(monkeypatch):
    monkeypatch.setattr(hetero_vae.EarlyStopping, "stop", lambda self, loss: False)


def one_row(monkeypatch):
    monkeypatch.setattr(hetero_vae, "minibatches", lambda rows, size, rng: [rows[:1]])


BROKEN = {
    "zero epochs": (None, {"epochs": 0}),
    "beta 100": (None, {"beta": 100.0, "warm_up": 0}),
    "learning rate 10": (None, {"lr": 10.0}),
    "learning rate 1": (None, {"lr": 1.0}),
    "learning rate next to 0": (None, {"lr": 1e-9}),
    "a weight that is no number": (not_a_number, {}),
    "dead latent": (dead_latent, {}),
    "deaf decoder": (deaf_decoder, {}),
    "deaf decoder, strong prior": (deaf_decoder, {"beta": 0.1}),
    "constant output": (constant_output, {}),
    "constant output, strong prior": (constant_output, {"beta": 0.1}),
    "three units": (three_units, {}),
    "no step": (stepped(lambda optimizer, loss: optimizer.step()), {}),
    "upside down": (stepped(lambda optimizer, loss: step(optimizer, -loss)), {}),
    "weights shaken after every step": (stepped(shaken), {}),
    "best weights never kept": (best_never_kept, {}),
    "one row alone": (one_row, {}),
    "images mixed": (encoded(lambda x: x.mean(0, keepdim=True).expand_as(x)), {}),
    "images shuffled": (encoded(lambda x: x[torch.randperm(len(x))]), {}),
    "drowned in noise": (encoded(lambda x: x + 100 * torch.randn_like(x)), {}),
}
KINDS = [{}, {"width": 6, "trim": 0.1, "latent": 3}]
SOUND = [
    {"seed": 1},
    {"seed": 2},
    {"beta": 0.0},
    {"beta": 0.03},
    {"latent": 4},
    {"width": 8},
    {"trim": 0.0},
    {"trim": 0.2},
    {"batch": 32, "lr": 0.02},
    {"warm_up": 0},
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", BROKEN)
def test_health_tells_a_broken_network(name, kind, monkeypatch):
    breakage, settings = BROKEN[name][0], kind | BROKEN[name][1]
    if breakage:
        breakage(monkeypatch)
    try:
        assert fitted(**settings).health()["failed"] == 1
    except NotApplicableError as error:
        assert "diverged" in error.message


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("settings", SOUND, ids=str)
def test_health_leaves_a_sound_network_alone(settings, kind):
    assert fitted(**kind | settings).health()["failed"] == 0


# --- contamination, state, refusals -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_anomalies_among_the_fit_rows_are_trimmed():
    odd = images(96, 3, odd=4.0)
    pool = np.concatenate([FIT, odd[:16]])
    ratio = {}
    for trim in (0.15, 0.0):
        detector = fitted(pool, trim=trim, epochs=14)
        ratio[trim] = np.median(detector.error_map(odd[16:])) / np.median(detector.error_map(CALM))
    assert ratio[0.15] > 1.1 * ratio[0.0]


def test_a_dead_sensor_is_no_simple_image(trained):
    """VAEs rebuild blank images well; here pixels are standardised by the fit rows, so that silence is far away."""
    loud = 5 + FIT
    detector = fitted(loud)
    assert detector.score(np.zeros((1, 1, 16, 24), np.float32))[0] > np.quantile(detector.score(loud), 0.99)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.ones((60, 1, 16, 16), np.float32), "constant"),
        (CALM[:1], "too few"),
        (np.ones((60, 256), np.float32), "no images"),
        (np.ones((60, 3, 64, 3), np.float32), "no images"),
    ],
)
def test_what_cannot_be_learned_from_is_said(rows, words):
    with pytest.raises(NotApplicableError, match=words):
        fitted(rows)


def test_other_rows_than_those_of_the_fit(trained):
    assert np.isfinite(trained.score(np.full((2, 1, 16, 24), -3e38, np.float32))).all()
    with pytest.raises(ValueError, match="shape"):
        trained.score(CALM[:, :, :8])
