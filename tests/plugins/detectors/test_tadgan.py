"""TadGAN: two critics, penalties sample by sample, statistics frozen at fit, records in windows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from vibro.api import NotApplicableError
from vibro_plugins.detectors.tadgan import TadGan, adversarial
from vibro_plugins.detectors.tadgan.networks import ConvCritic, Encoder, Generator, PatchCritic, penalty
from vibro_plugins.detectors.tadgan.reconstruction import positive

from .networks import task, trained

TASK = task("tadgan")
FIT = TASK.fit


def test_trap_36_all_four_networks_learn_and_prior_samples_pass_both_critics(monkeypatch):
    seen = []

    def spy(critic, real, fake, share):
        seen.append((real.shape[1:], fake.shape[1:]))
        return penalty(critic, real, fake, share)

    monkeypatch.setattr(adversarial, "penalty", spy)
    before, after = TASK.fitted(epochs=0).state(), TASK.fitted(epochs=1, patience=5).state()
    assert set(seen) == {((1, 48), (1, 48)), ((4,), (4,))}
    for part in ("encode", "generate", "signals", "latents"):
        names = [name for name in before if name.startswith(f"net.{part}.")]
        assert names and any(not np.array_equal(before[name], after[name]) for name in names), part


@pytest.mark.parametrize("critic", [ConvCritic(1, 128, 4), PatchCritic(1, 128, 4, 16)], ids=["conv", "transformer"])
def test_trap_37_a_permuted_signal_gets_another_value(critic):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(6, 1, 128, generator=draw)
    patches = x.reshape(6, 1, 8, 16)[:, :, torch.randperm(8, generator=draw)].reshape(6, 1, 128)
    samples = x[:, :, torch.randperm(128, generator=draw)]
    value = critic(x)
    for other in (patches, samples):
        assert (value - critic(other)).abs().max() > 1e-3 * value.abs().max()


def test_trap_38_the_penalty_is_taken_over_each_whole_sample():
    slope = 0.5
    real, fake = torch.zeros(5, 2, 8), torch.ones(5, 2, 8)
    got, length = penalty(lambda x: slope * x.flatten(1).sum(dim=1), real, fake, torch.rand(5))
    expected = slope * 16**0.5
    assert got.item() == pytest.approx((expected - 1) ** 2) and length.item() == pytest.approx(expected)


def test_trap_39_the_generator_reaches_peaks():
    generator = Generator(1, 64, 8, 2)
    with torch.no_grad():
        generator.layers[-1].weight.weight.mul_(100)
    assert generator(torch.randn(4, 2)).abs().max() > 5


def test_trap_40_the_latent_knows_where_something_stands():
    encoder = Encoder(1, 64, 4, 3)
    x = torch.zeros(1, 1, 64)
    x[..., 8:12] = 1.0
    assert (encoder(x) - encoder(x.roll(32, dims=2))).abs().max() > 1e-3


def test_trap_41_the_score_is_made_of_the_critic_of_the_record_in_frozen_units(monkeypatch):
    detector = trained("tadgan")
    e0, e1, middle, spread, c0, c1 = detector.state()["reference"]
    net, windows = detector._fitted(), FIT[:, None, :]
    z = detector._tensor(windows)
    with torch.no_grad():
        error = (z - net["generate"](net["encode"](z))).square().mean(dim=(1, 2)).sqrt().numpy().astype(float)
        distance = np.abs(net["signals"](z).numpy() - middle) / spread
    alpha = detector.params.alpha
    np.testing.assert_allclose(
        detector.score(FIT), alpha * (error - e0) / e1 + (1 - alpha) * (distance - c0) / c1, rtol=1e-3, atol=1e-3
    )
    mirrored = 2 * middle - detector._values(net, windows)
    before = detector.score(FIT)
    monkeypatch.setattr(TadGan, "_values", lambda *_: mirrored)  # both ends of the critic count alike
    np.testing.assert_allclose(detector.score(FIT), before)


def test_vectors_are_generated_from_their_codes():
    detector = trained("tadgan")
    codes = detector.encode(FIT[:30])
    rebuilt = detector.decode(codes)
    assert codes.dtype == rebuilt.dtype == np.float64 and len(codes) == 30 and rebuilt.shape == FIT[:30].shape
    rest = np.sqrt((((rebuilt - FIT[:30]) / detector._scale) ** 2).mean(axis=1))
    error = detector._errors(detector._net, detector._windows(FIT[:30]))
    np.testing.assert_allclose(rest, error, rtol=1e-3)
    cut = TASK.fitted(window=24, epochs=0)
    with pytest.raises(NotApplicableError, match="a single window"):
        cut.encode(FIT[:5])


def test_trap_42_five_critic_steps_for_each_step_of_the_makers(monkeypatch):
    steps = {"critic": 0, "maker": 0}
    critic, maker = TadGan._critic_step, TadGan._maker_step
    monkeypatch.setattr(
        TadGan, "_critic_step", lambda *a: (steps.__setitem__("critic", steps["critic"] + 1), critic(*a))[1]
    )
    monkeypatch.setattr(
        TadGan, "_maker_step", lambda *a: (steps.__setitem__("maker", steps["maker"] + 1), maker(*a))[1]
    )
    TASK.fitted(epochs=5, critic_steps=5)
    assert steps["critic"] == 5 * steps["maker"] > 0
    assert TadGan.Params().critic_steps == 5


def test_trap_43_windows_are_stretches_of_every_record():
    records = FIT[:60].reshape(60, 2, 24)
    windows = TASK.fitted(records, window=10, hop=7, epochs=1)._windows(records)
    assert windows.shape == (60 * 3, 2, 10)
    assert np.array_equal(windows[3 * 7 + 1], records[7, :, 7:17])


def test_the_end_of_a_record_is_scored():
    detector = TASK.fitted(window=20, hop=20, epochs=1)
    assert np.array_equal(detector._windows(FIT)[2::3, 0], FIT[:, 28:])
    spoilt = FIT[:20].copy()
    spoilt[:, 41:] += 30
    assert (detector.score(spoilt) > detector.score(FIT[:20])).all()


@pytest.mark.parametrize("critic", ["conv", "transformer"])
def test_trap_43_the_penalty_differentiates_twice_through_every_critic(critic, monkeypatch):
    """Fused attention and cuDNN's recurrent networks cannot; they would fail on a GPU alone."""

    def fused(*_, **__):
        raise AssertionError("fused attention in a penalised critic")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", fused)
    net = TASK.fitted(epochs=1, critic=critic)._fitted()
    fusing = (torch.nn.RNNBase, torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer)
    for part, shape in (("signals", (1, 48)), ("latents", (4,))):
        assert not any(isinstance(module, fusing) for module in net[part].modules())
        net[part].zero_grad()
        penalty(net[part], torch.randn(6, *shape), torch.randn(6, *shape), torch.rand(6))[0].backward()
        slopes = [v.grad for name, v in net[part].named_parameters() if name.endswith("weight") and v.ndim > 1]
        assert all(torch.isfinite(slope).all() and slope.abs().sum() > 0 for slope in slopes)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_windows_of_a_record_are_pooled_to_it(pool):
    detector = TASK.fitted(window=16, hop=8, epochs=3, pool=pool)
    assert detector.score(FIT).shape == (240,)
    part = FIT[7:8].copy()
    part[0, 40:] += 30
    assert detector.score(part) > detector.score(FIT[7:8])


@pytest.mark.parametrize(("error", "combine"), list(itertools.product(["point", "area"], ["sum", "product"])))
def test_errors_and_combinations_rank_odd_records_high(error, combine):
    detector = TASK.fitted(error=error, combine=combine)
    assert TASK.auc(detector) > 0.8 and len(np.unique(detector.score(FIT))) > 230


def test_positive_part_has_no_ties():
    u = np.linspace(-30, 30, 1001)
    assert (np.diff(positive(u)) > 0).all() and positive(u).min() > 0
    assert positive(np.array([30.0])) == pytest.approx(30, rel=0.01)


@pytest.mark.slow
def test_transformer_critic_learns():
    detector = TASK.fitted(critic="transformer", patch=8)
    assert TASK.auc(detector) > 0.8 and detector.health()["failed"] == 0
