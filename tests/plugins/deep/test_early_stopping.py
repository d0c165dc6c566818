"""Early stopping at the best weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibro.api import NotApplicableError
from vibro_plugins.deep.early_stopping import Plateau


def test_a_loss_that_is_no_number_ends_a_training():
    plateau = Plateau(torch.nn.Linear(1, 1), 3)
    assert not plateau.stop(1.0)
    with pytest.raises(NotApplicableError, match="diverged"):
        plateau.stop(np.nan)


def test_plateau_keeps_the_best_weights():
    net = torch.nn.Linear(1, 1)
    plateau, stops = Plateau(net, patience=2), []
    for loss in (3.0, 1.0, 2.0, 2.0):
        with torch.no_grad():
            net.weight.fill_(loss)
        stops.append(plateau.stop(loss))
    plateau.restore()
    assert stops == [False, False, False, True] and net.weight.item() == 1.0
