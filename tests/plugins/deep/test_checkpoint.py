"""Trainings that go on after a kill: what names one, and its learning rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from vibro.api import Context, Disturbed
from vibro_plugins.deep.checkpoint import Epochs, key_of


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


def test_groups_decide_whether_a_training_goes_on():
    ctx, x = Context(), np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    keys = [
        key_of("lstm_ae", {}, replace(ctx, groups=groups), x) for groups in (None, np.arange(20), np.arange(20) // 2)
    ]
    assert len(set(keys)) == 3


def test_disturbed_copies_decide_whether_a_training_goes_on():
    x = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    other, row = x.copy(), np.arange(20)
    other[19, 7] += 1
    copies = [None, Disturbed(x, row), Disturbed(other, row), Disturbed(x, row[::-1])]
    keys = [key_of("deep_svdd", {}, Context(disturbed=given), x) for given in copies]
    assert len(set(keys)) == 4 and key_of("deep_svdd", {}, Context(disturbed=Disturbed(x.copy(), row)), x) == keys[1]


def test_a_training_is_known_by_every_row_and_label():
    x, y = np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32), np.zeros(3000, np.int16)
    keys = {key_of("net", 1, Context(), x, y)}
    for row in (1, 1500, 2999):
        changed, labels = x.copy(), y.copy()
        changed[row, 3] += 1
        labels[row] = 1
        keys |= {key_of("net", 1, Context(), changed, y), key_of("net", 1, Context(), x, labels)}
    assert len(keys) == 7 and key_of("net", 1, Context(), x.copy(), y) in keys
