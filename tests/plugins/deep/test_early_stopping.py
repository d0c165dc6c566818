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


def test_early_stopping_keeps_the_best_weights():
    net = torch.nn.Linear(1, 1)
    stopping, stops = EarlyStopping(net, patience=2), []
    for loss in (3.0, 1.0, 2.0, 2.0):
        with torch.no_grad():
            net.weight.fill_(loss)
        stops.append(stopping.stop(loss))
    stopping.restore()
    assert stops == [False, False, False, True] and net.weight.item() == 1.0
