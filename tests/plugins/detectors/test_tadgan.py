"""TadGAN: two critics, penalties sample by sample, statistics frozen at fit; it learns, or says that it has not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from vibro.api import Context, NotApplicableError, NotFittedError
from vibro_plugins.deep.training import step
from vibro_plugins.detectors import tadgan
from vibro_plugins.detectors.tadgan import TadGan, positive
from vibro_plugins.detectors.tadgan.networks import ConvCritic, Encoder, Generator, PatchCritic, penalty

SMALL = {"latent": 4, "width": 4, "batch": 20, "epochs": 6, "lr": 0.01, "critic_steps": 2}


@pytest.fixture(scope="module")
def vectors():
    """300 calm and 40 odd vectors of 48 values: two smooth modes of random size; in odd ones they stand elsewhere."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    modes = np.stack([np.sin(t), np.cos(2 * t)])
    x = rng.uniform(-2, 2, (340, 2)) @ modes + 0.2 * rng.standard_normal((340, 48))
    x[300:] = np.roll(x[300:], 9, axis=1)
    x = x.astype(np.float32)
    x.setflags(write=False)
    return x


def fitted(x, seed=0, **settings):
    detector = TadGan.make({**SMALL, **settings}, Context(seed=seed))
    detector.fit(x)
    return detector


@pytest.fixture(scope="module")
def trained(vectors):
    return fitted(vectors[:240])


def auc(score):
    """Odd rows 300.. against the calm ones 240..300 that were not fitted on."""
    return np.mean(score[300:, None] > score[None, 240:300])


def test_learns_more_than_its_untrained_self(trained, vectors):
    untrained = fitted(vectors[:240], epochs=0)
    assert auc(trained.score(vectors)) > max(auc(untrained.score(vectors)) + 0.03, 0.9)
    assert trained.health()["failed"] == 0 and trained.health()["gain"] > 0.2
    assert untrained.health()["failed"] == 1


def test_trap_36_all_four_networks_learn_and_prior_samples_pass_both_critics(vectors, monkeypatch):
    seen = []

    def spy(critic, real, fake, share):
        seen.append((real.shape[1:], fake.shape[1:]))
        return penalty(critic, real, fake, share)

    monkeypatch.setattr(tadgan, "penalty", spy)
    before, after = fitted(vectors[:240], epochs=0).state(), fitted(vectors[:240], epochs=1, patience=5).state()
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


def test_trap_41_the_score_is_made_of_the_critic_of_the_record_in_frozen_units(trained, vectors, monkeypatch):
    e0, e1, middle, spread, c0, c1 = trained.state()["frozen"]
    net, windows = trained._fitted(), vectors[:, None, :]
    z = trained._tensor(windows)
    with torch.no_grad():
        error = (z - net["generate"](net["encode"](z))).square().mean(dim=(1, 2)).sqrt().numpy().astype(float)
        distance = np.abs(net["signals"](z).numpy() - middle) / spread
    alpha = trained.params.alpha
    np.testing.assert_allclose(
        trained.score(vectors), alpha * (error - e0) / e1 + (1 - alpha) * (distance - c0) / c1, rtol=1e-3, atol=1e-3
    )
    mirrored = 2 * middle - trained._values(net, windows)
    before = trained.score(vectors)
    monkeypatch.setattr(TadGan, "_values", lambda *_: mirrored)  # both ends of the critic count alike
    np.testing.assert_allclose(trained.score(vectors), before)


def test_trap_42_five_critic_steps_for_each_step_of_the_makers(vectors, monkeypatch):
    steps = {"critic": 0, "maker": 0}
    critic, maker = TadGan._critic_step, TadGan._maker_step
    monkeypatch.setattr(
        TadGan, "_critic_step", lambda *a: (steps.__setitem__("critic", steps["critic"] + 1), critic(*a))[1]
    )
    monkeypatch.setattr(
        TadGan, "_maker_step", lambda *a: (steps.__setitem__("maker", steps["maker"] + 1), maker(*a))[1]
    )
    fitted(vectors[:240], epochs=5, critic_steps=5)
    assert steps["critic"] == 5 * steps["maker"] > 0
    assert TadGan.Params().critic_steps == 5


def test_trap_43_scores_use_the_statistics_of_the_fit(trained, vectors):
    whole = trained.score(vectors)
    alone = np.concatenate([trained.score(vectors[i : i + 1]) for i in range(5)])
    loud = np.concatenate([vectors[:5], 50 * vectors])
    assert np.array_equal(alone, whole[:5]) and np.array_equal(trained.score(loud)[:5], whole[:5])


def test_trap_43_windows_are_stretches_of_every_record(vectors):
    records = vectors[:60].reshape(60, 2, 24)
    windows = fitted(records, window=10, hop=7, epochs=1)._windows(records)
    assert windows.shape == (60 * 3, 2, 10)
    assert np.array_equal(windows[3 * 7 + 1], records[7, :, 7:17])


def test_the_end_of_a_record_is_scored(vectors):
    detector = fitted(vectors[:240], window=20, hop=20, epochs=1)
    assert np.array_equal(detector._windows(vectors)[2::3, 0], vectors[:, 28:])
    spoilt = vectors[:20].copy()
    spoilt[:, 41:] += 30
    assert (detector.score(spoilt) > detector.score(vectors[:20])).all()


@pytest.mark.parametrize("critic", ["conv", "transformer"])
def test_trap_43_the_penalty_differentiates_twice_through_every_critic(vectors, critic, monkeypatch):
    """Fused attention and cuDNN's recurrent networks cannot; they would fail on a GPU alone."""

    def fused(*_, **__):
        raise AssertionError("fused attention in a penalised critic")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", fused)
    net = fitted(vectors[:240], epochs=1, critic=critic)._fitted()
    fusing = (torch.nn.RNNBase, torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer)
    for part, shape in (("signals", (1, 48)), ("latents", (4,))):
        assert not any(isinstance(module, fusing) for module in net[part].modules())
        net[part].zero_grad()
        penalty(net[part], torch.randn(6, *shape), torch.randn(6, *shape), torch.rand(6))[0].backward()
        slopes = [v.grad for name, v in net[part].named_parameters() if name.endswith("weight") and v.ndim > 1]
        assert all(torch.isfinite(slope).all() and slope.abs().sum() > 0 for slope in slopes)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_windows_of_a_record_are_pooled_to_it(vectors, pool):
    detector = fitted(vectors[:240], window=16, hop=8, epochs=3, pool=pool)
    assert detector.score(vectors).shape == (340,)
    part = vectors[7:8].copy()
    part[0, 40:] += 30
    assert detector.score(part) > detector.score(vectors[7:8])


@pytest.mark.parametrize(("error", "combine"), list(itertools.product(["point", "area"], ["sum", "product"])))
def test_errors_and_combinations_rank_odd_records_high(vectors, error, combine):
    score = fitted(vectors[:240], error=error, combine=combine).score(vectors)
    assert auc(score) > 0.8 and len(np.unique(score)) > 330


def test_positive_part_has_no_ties():
    u = np.linspace(-30, 30, 1001)
    assert (np.diff(positive(u)) > 0).all() and positive(u).min() > 0
    assert positive(np.array([30.0])) == pytest.approx(30, rel=0.01)


@pytest.mark.slow
def test_transformer_critic_learns(vectors):
    detector = fitted(vectors[:240], critic="transformer", patch=8)
    assert auc(detector.score(vectors)) > 0.8 and detector.health()["failed"] == 0


@pytest.mark.parametrize("critic", ["conv", "transformer"])
def test_state_is_enough(vectors, critic):
    detector = fitted(vectors[:240], epochs=2, critic=critic)
    state = {name: np.array(array) for name, array in detector.state().items()}
    assert all(array.dtype.kind in "biuf" for array in state.values())
    back = TadGan.make({**SMALL, "critic": critic}, Context(seed=9))
    back.load_state(state)
    assert np.array_equal(back.score(vectors), detector.score(vectors)) and back.health() == detector.health()
    with pytest.raises(NotFittedError):
        TadGan.make(SMALL, Context()).score(vectors)


@pytest.mark.slow
def test_anomalies_among_the_fit_rows_are_trimmed(vectors):
    pool = np.concatenate([vectors[:240], 3 * vectors[300:324]])
    ratio = {}
    for trim in (0.15, 0.0):
        detector = fitted(pool, trim=trim, alpha=1.0, epochs=14, patience=40)
        errors = detector._errors(detector._fitted(), detector._windows(np.concatenate([vectors, 3 * vectors[324:]])))
        ratio[trim] = np.median(errors[340:]) / np.median(errors[240:300])
    assert ratio[0.15] > ratio[0.0]


# --- health: twenty broken networks, twenty sound ones -------------------------------------------------------------


def forward(cls, change):
    """``change(net, forward, x)`` in the place of a network's forward pass."""

    def breakage(monkeypatch):
        usual = cls.forward
        monkeypatch.setattr(cls, "forward", lambda self, x: change(self, lambda y: usual(self, y), x))

    return breakage


def built(cls, change):
    """The network after ``change(net)``."""

    def breakage(monkeypatch):
        init = cls.__init__

        def broken(self, *sizes):
            init(self, *sizes)
            change(self)

        monkeypatch.setattr(cls, "__init__", broken)

    return breakage


def stepped(change):
    """``change(optimizer, loss)`` in the place of a step."""
    return lambda monkeypatch: monkeypatch.setattr(tadgan, "step", change)


def frozen_at(value):
    def change(net):
        for parameter in net.parameters():
            torch.nn.init.constant_(parameter, value).requires_grad_(False)

    return change


def one_value_that_is_no_number(net):
    torch.nn.init.constant_(net.into.bias, float("nan"))


def shaken(optimizer, loss):
    step(optimizer, loss)
    with torch.no_grad():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter += torch.randn_like(parameter)


def skipped(name):
    return lambda monkeypatch: monkeypatch.setattr(TadGan, name, lambda *_: None)


def best_never_kept(monkeypatch):
    monkeypatch.setattr(tadgan.EarlyStopping, "stop", lambda self, loss: False)


def shuffled(net, code, x):
    return code(x[torch.randperm(len(x))])


BROKEN = {
    "zero epochs": (None, {"epochs": 0}),
    "learning rate next to 0": (None, {"lr": 1e-9, "epochs": 2}),
    "learning rate 10": (None, {"lr": 10.0}),
    "no cycle": (None, {"cycle": 0.0}),
    "makers hardly step": (None, {"critic_steps": 50, "epochs": 2}),
    "makers never step": (skipped("_maker_step"), {}),
    "no step": (stepped(lambda optimizer, loss: optimizer.step()), {}),
    "upside down": (stepped(lambda optimizer, loss: step(optimizer, -loss)), {}),
    "weights shaken after every step": (stepped(shaken), {}),
    "best weights never kept": (best_never_kept, {}),
    "latent 0": (forward(Encoder, lambda net, code, x: 0 * code(x)), {}),
    "records mixed": (forward(Encoder, lambda net, code, x: code(x.mean(0, keepdim=True).expand_as(x))), {}),
    "latents of other records": (forward(Encoder, shuffled), {}),
    "drowned in noise": (forward(Encoder, lambda net, code, x: code(x + 100 * torch.randn_like(x))), {}),
    "constant output": (forward(Generator, lambda net, window, z: window(0 * z)), {}),
    "constant generator": (built(Generator, frozen_at(0.1)), {}),
    "a weight that is no number": (built(Generator, one_value_that_is_no_number), {}),
    "dead critic": (built(ConvCritic, frozen_at(0.0)), {}),
    "steep critic": (built(ConvCritic, frozen_at(1.0)), {}),
    "critic of the level alone": (forward(ConvCritic, lambda net, value, x: value(0.01 * x) / 1e3), {}),
}
KINDS = [
    {"critic": "conv", "error": "point"},
    {"critic": "conv", "error": "area", "combine": "product"},
    {"critic": "transformer", "patch": 8, "error": "point", "combine": "product"},
    {"critic": "transformer", "patch": 8, "error": "area"},
]
SOUND = [{}, {"latent": 3}, {"width": 8, "lr": 0.005}, {"trim": 0.0, "pool": "max"}, {"batch": 30, "penalty": 5.0}]


def named(settings):
    return "-".join(f"{key}={value}" for key, value in settings.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_health_tells_a_net_that_has_not_learned(vectors, name, monkeypatch):
    breakage, settings = BROKEN[name]
    if breakage:
        breakage(monkeypatch)
    try:
        assert fitted(vectors[:240], **{"epochs": 4, **settings}).health()["failed"] == 1
    except NotApplicableError as error:
        assert "diverged" in error.message


@pytest.mark.slow
@pytest.mark.parametrize("name", ["learning rate next to 0", "no step", "makers never step"])
def test_health_tells_it_where_principal_axes_explain_little_too(many_modes, name, monkeypatch):
    breakage, settings = BROKEN[name]
    if breakage:
        breakage(monkeypatch)
    health = fitted(many_modes, **{"epochs": 4, **settings}).health()
    assert health["pca_explained"] < 0.1 and health["failed"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("settings", [a | b for a in SOUND for b in KINDS], ids=named)
def test_health_leaves_a_sound_net_alone(vectors, settings):
    assert fitted(vectors[:240], **settings).health()["failed"] == 0


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        (np.zeros((5, 24), np.float32), {}, "too few"),
        (np.ones((120, 24), np.float32), {}, "constant"),
        (np.ones((120, 1, 8, 8), np.float32), {}, "no images"),
        (np.ones((36, 24), np.float32), {}, "fewer than 5 batches of 8"),
        (np.ones((24, 24), np.float32), {"batch": 6}, "fewer than 5 batches of 6"),
    ],
)
def test_what_cannot_be_learned_from_is_said(rows, settings, words):
    with pytest.raises(NotApplicableError, match=words):
        fitted(rows, **settings)
