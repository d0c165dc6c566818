"""Integrated gradients add up to what they explain, whatever the batch, in eval mode; the network is left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vibro_plugins.deep.attribution import by_themselves, integrated_gradients, slope_of
from vibro_plugins.deep.channels import Channels


def test_the_parts_of_a_row_add_up_to_its_rise():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3)).train()

    def score(x):
        return torch.linalg.vector_norm(net(x), dim=1)

    x, usual = 3 * torch.randn(37, 6), torch.randn(1, 6)
    parts = integrated_gradients(net, slope_of(score), x, usual)
    assert net.training
    net.eval()
    rise = (score(x) - score(usual)).detach().numpy()
    assert np.allclose(parts.sum(axis=1), rise, atol=0.02 * np.abs(rise).max())
    assert np.allclose(parts[5:6], integrated_gradients(net, slope_of(score), x[5:6], usual), atol=1e-6)
    assert np.all(integrated_gradients(net, slope_of(score), usual, usual) == 0)


def test_of_a_linear_score_each_part_is_its_term():
    weights = torch.tensor([1.0, -2.0, 0.0])
    parts = integrated_gradients(nn.Identity(), slope_of(lambda x: x @ weights), torch.ones(1, 3), torch.zeros(1, 3))
    assert parts == pytest.approx(np.array([[1.0, -2.0, 0.0]]))


def test_parts_of_channels_go_to_the_columns_that_make_them():
    rng = np.random.default_rng(0)
    fit = rng.standard_normal((200, 5)).astype(np.float32)
    fit[:, 4] = 2.0  # does not vary
    fit[:, 1] += fit[:, 0]
    channels, x = Channels.fit(fit), fit[:1].copy()
    x[0, 2] += 9
    parts = rng.standard_normal((1, 3, 4))
    found = channels.by_column(parts, x)
    assert found.shape == x.shape and found[0, 4] == 0
    assert found.sum() == pytest.approx(parts.sum())
    only = np.zeros((1, 3, 4))
    only[0, 1] = np.abs(channels.apply(x)[0, 1])  # all from the whitened values
    assert np.argmax(channels.by_column(only, x)[0]) == 2


@pytest.mark.parametrize("size", (12, 50))
def test_a_place_by_itself_is_found_though_the_score_explodes(size):
    torch.manual_seed(0)
    mixed = torch.randn(size * size, size * size) / size  # of the length of x

    def score(x):  # no sum of parts: the more is unusual, the more everything counts
        flat = x.flatten(1)
        return torch.sinh(torch.linalg.vector_norm(flat @ mixed, dim=1))

    x = 0.01 * torch.randn(2, 1, size, size)
    x[0, 0, 3:5, 6:9] += 6
    found = by_themselves(nn.Identity(), score, x)
    inside = np.zeros((size, size), bool)
    inside[2:6, 5:11] = True  # of the larger image two pixels or three are tried together
    assert found.shape == x.shape and found[0, 0][inside].sum() > 0.6 * found[0].sum()
    assert np.array_equal(found[1:], by_themselves(nn.Identity(), score, x[1:]))
