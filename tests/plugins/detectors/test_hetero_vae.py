"""Spatial VAE: its score weighs error and KL as stated, its latent stays in use, its error map shows where."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibro.api import Context
from vibro_plugins.detectors import hetero_vae
from vibro_plugins.detectors.hetero_vae import HeteroVaeParams, Vae, kl_mean

from .networks import task, trained

TASK = task("hetero_vae")
FIT, CALM = TASK.fit, TASK.calm


def test_the_latent_is_a_map_and_sizes_need_not_be_powers_of_two():
    net = Vae(3, (30, 40), HeteroVaeParams(width=4, latent=5))
    mean, log_variance = net.encode(torch.randn(2, 3, 30, 40))
    assert mean.shape == log_variance.shape == (2, 5, 4, 5)
    assert net.decode(mean).shape == (2, 3, 30, 40)
    full = Vae(3, (224, 224), HeteroVaeParams(backbone="resnet18", latent=64))
    assert full.encode(torch.zeros(1, 3, 224, 224))[0].shape == (1, 64, 7, 7)
    assert full.decode(torch.zeros(1, 64, 7, 7)).shape == (1, 3, 224, 224)


def test_trap_24_neither_term_of_the_score_drowns_the_other():
    detector = trained("hetero_vae")
    mean, log_variance = torch.randn(5, 2, 3, 4), torch.randn(5, 2, 3, 4)
    normal = torch.distributions.Normal(0, 1)
    wanted = torch.distributions.kl_divergence(torch.distributions.Normal(mean, (log_variance / 2).exp()), normal)
    torch.testing.assert_close(kl_mean(mean, log_variance), wanted.mean(dim=(1, 2, 3)))
    net = detector._net
    l1, kl = detector._l1(net, FIT), detector._kl(net, FIT)
    z = [(term - np.median(term)) / (1.4826 * np.median(np.abs(term - np.median(term)))) for term in (l1, kl)]
    np.testing.assert_allclose(detector.score(FIT), z[0] + 0.1 * z[1], atol=1e-5)
    alone = TASK.fitted(weight=0.0).score(FIT)
    np.testing.assert_allclose(alone, z[0], atol=1e-5)


def test_trap_19_the_decoder_is_no_dense_layer_to_the_pixels():
    full = Vae(3, (224, 224), HeteroVaeParams(backbone="resnet18", latent=64))
    assert sum(v.numel() for v in full.up.parameters()) < 10e6


def test_trap_52_the_best_weights_after_the_warm_up_are_put_back(monkeypatch):
    looks = []

    class Watched(hetero_vae.EarlyStopping):
        def stop(self, loss):
            looks.append(loss)
            return super().stop(loss)

    monkeypatch.setattr(hetero_vae, "EarlyStopping", Watched)
    detector = TASK.fitted(lr=0.03, patience=3, epochs=40)
    assert 4 <= len(looks) < 38  # none in the warm-up, and it stopped by itself
    held = np.sort(Context().rng().permutation(len(FIT))[:12])
    loss = np.median(detector._l1(detector._net, FIT[held]) + 0.01 * detector._kl(detector._net, FIT[held]))
    assert loss == pytest.approx(min(looks), rel=1e-3)


def test_the_error_map_shows_where():
    detector = trained("hetero_vae")
    spoilt = CALM[:20].copy()
    spoilt[:, 0, 4:7, 10:14] += 4
    found = detector.attribution(spoilt)
    assert found.shape == spoilt.shape and found.dtype == np.float64
    rise = (found - detector.attribution(CALM[:20])).mean(axis=(0, 1))
    inside = np.zeros((16, 24), bool)
    inside[4:7, 10:14] = True
    assert rise[inside].mean() > 10 * abs(rise[~inside].mean())
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), detector._l1(detector._net, spoilt), rtol=1e-4)


def test_pictures_are_decoded_from_their_codes():
    detector = trained("hetero_vae")
    codes = detector.encode(CALM[:20])
    rebuilt = detector.decode(codes)
    assert codes.dtype == rebuilt.dtype == np.float64 and len(codes) == 20 and rebuilt.shape == CALM[:20].shape
    error = np.abs(rebuilt - CALM[:20]) * detector._pixels.factor
    np.testing.assert_allclose(error, detector.attribution(CALM[:20]), rtol=1e-3, atol=1e-4)
    two = np.concatenate([FIT, np.full_like(FIT, 2.0)], axis=1)
    fitted = TASK.fitted(two, epochs=0)
    assert (fitted.decode(fitted.encode(two[:5]))[:, 1] == 2.0).all()  # a channel that never varies


def test_a_dead_sensor_is_no_simple_image():
    """VAEs rebuild blank images well; here pixels are standardised by the fit rows, so that silence is far away."""
    loud = 5 + FIT
    detector = TASK.fitted(loud)
    assert detector.score(np.zeros((1, 1, 16, 24), np.float32))[0] > np.quantile(detector.score(loud), 0.99)
