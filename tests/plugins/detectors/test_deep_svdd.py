"""Deep SVDD: it has no way to a trivial solution, and uses labels only where it says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vibro.api import Context, NotApplicableError
from vibro_plugins.deep import images as deep_images
from vibro_plugins.deep import resnet
from vibro_plugins.detectors.deep_svdd import DeepSad, DeepSvdd
from vibro_plugins.detectors.deep_svdd.networks import Decoder, Encoder
from vibro_plugins.detectors.deep_svdd.one_class import AWAY, centre_of
from vibro_plugins.detectors.deep_svdd.settings import DeepSvddParams

from .networks import pictures, task, trained

TASK = task("deep_svdd")
FIT, CALM, SMALL = TASK.fit, TASK.calm, TASK.small


def fitted(x=FIT, cls=DeepSvdd, **settings):
    return replace(TASK, cls=cls).fitted(x, **settings)


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


def test_trap_15_the_radius_is_a_quantile_over_all_rows_and_is_saved():
    detector = trained("deep_svdd")
    share = np.mean(detector.score(FIT) > detector.state()["radius"])
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
        codes = first(torch.tensor(deep_images.Pixels.fit(FIT[:99]).apply(FIT[:99]))).numpy()
    np.testing.assert_allclose(detector.state()["centre"], centre_of(codes.astype(float)), atol=1e-5)
    with pytest.raises(NotApplicableError, match="too few"):
        fitted(FIT[:19])


def test_trap_18_no_centre_coordinate_near_zero():
    detector = trained("deep_svdd")
    codes = np.array([[0.0, -0.01, 0.05, 3.0, -0.2]] * 4)
    np.testing.assert_allclose(centre_of(codes), [AWAY, -AWAY, AWAY, 3.0, -0.2], atol=1e-6)
    assert np.abs(detector.state()["centre"]).min() >= np.float32(AWAY)


def test_trap_19_the_decoder_is_no_dense_layer_to_the_pixels():
    p = DeepSvddParams(backbone="resnet18", code=128)
    encoder = Encoder(3, (224, 224), p)
    decoder = Decoder(encoder, 3, (224, 224))
    assert sum(v.numel() for v in decoder.up.parameters()) < 10e6
    assert sum(v.numel() for v in decoder.parameters()) < 20e6
    assert decoder(torch.zeros(1, 128)).shape == (1, 3, 224, 224)


def test_trap_20_the_trunk_is_a_residual_network_of_18_layers():
    net = resnet.trunk(3, "resnet18", 8, bias=False)[0]
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 512, 2, 2)
    assert 10e6 < sum(v.numel() for v in net.parameters()) < 12e6


def test_labels_push_known_anomalies_away():
    pool = np.concatenate([FIT, pictures(16, 3, odd=1.5)])
    y = np.full(len(pool), -1, np.int16)
    y[:20], y[128:] = 0, 1
    sad = fitted(pool, cls=DeepSad, y=y)
    blind = fitted(pool)
    assert TASK.auc(sad) > TASK.auc(blind) + 0.02
    assert np.array_equal(fitted(pool, y=y).score(CALM), blind.score(CALM))  # deep_svdd looks at no label
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


def test_rows_known_as_normal_are_trained_on_however_far_they_lie(monkeypatch):
    pool = np.concatenate([pictures(60, 1), pictures(12, 2, odd=3.0), pictures(8, 3, odd=-3.0)])
    y = np.repeat(np.array([-1, 0, 1], np.int16), [60, 12, 8])
    epochs = []

    def seen(detector, net, optimizer, x, sign, parts):
        epochs.append(set(np.concatenate(parts)))

    monkeypatch.setattr(DeepSvdd, "_epoch", seen)
    fitted(pool, cls=DeepSad, y=y, trim=0.3)
    assert epochs and all(set(range(60, 80)) <= rows and len(rows) == 62 for rows in epochs)
