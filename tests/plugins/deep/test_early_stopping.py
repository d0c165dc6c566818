"""Early stopping at the best weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibro.api import NotApplicableError
from vibro_plugins.deep.early_stopping import EarlyStopping


def test_a_loss_that_is_no_number_ends_a_training():
    stopping = EarlyStopping(torch.nn.Linear(1, 1), 3)
    assert not stopping.stop(1.0)
    with pytest.raises(NotApplicableError, match="diverged"):
        stopping.stop(np.nan)
    with pytest.raises(NotApplicableError, match="diverged"):
        stopping.start(np.nan, np.nan)  # else no later loss would be lower


def test_early_stopping_keeps_the_best_weights():
    net = torch.nn.Linear(1, 1)
    stopping, stops = EarlyStopping(net, patience=2), []
    for loss in (3.0, 1.0, 2.0, 2.0):
        with torch.no_grad():
            net.weight.fill_(loss)
        stops.append(stopping.stop(loss))
    stopping.restore()
    assert stops == [False, False, False, True] and net.weight.item() == 1.0


def kept(start, evaluations):
    """The weight and the epoch that are kept of evaluations (loss, standard error), each with a weight of its number."""
    net = torch.nn.Linear(1, 1)
    with torch.no_grad():
        net.weight.fill_(0)
    stopping = EarlyStopping(net, patience=9)
    stopping.start(*start)
    for i, (loss, error) in enumerate(evaluations, 1):
        with torch.no_grad():
            net.weight.fill_(i)
        stopping.stop(loss, error)
    again = EarlyStopping(net, patience=9)
    again.load_state(stopping.state())
    again.restore()
    assert again.epoch == stopping.epoch
    return net.weight.item(), stopping.epoch


def test_a_training_that_improves_nothing_beyond_chance_leaves_the_weights_that_were_there_before():
    assert kept((0.3, 0.05), [(0.29, 0.05), (0.27, 0.05), (0.26, 0.05)]) == (0, 0)
    assert kept((0.3, 0.05), [(0.29, 0.05), (0.24, 0.02), (0.23, 0.02)]) == (2, 2)
    assert kept((0.3, 0.05), [(0.24, 0.04), (0.21, 0.04), (0.19, 0.04)]) == (3, 3)  # little by little
    assert kept((0.3, 0.0), [(0.31, 0.0), (0.2999, 0.0), (0.29, 0.0)]) == (3, 3)
