"""Signs that a fit is sound, on rows held out of the training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vibro_plugins.deep.diagnostics import explained, explains_enough, overlap, pca_explained, root_mean_square
from vibro_plugins.deep.exposure import Examples
from vibro_plugins.deep.training import exact, scored
from vibro_plugins.detectors.tadgan.networks import penalty
from vibro_plugins.detectors.tadgan.reconstruction import Reconstruction

BLOCK = 256  # windows on which the critic's gradient is evaluated
SLOPES = (0.2, 5.0)  # bounds of the critic's gradient length for a sound fit; the penalty pulls it to 1


class Diagnosis(Reconstruction):
    """Whether error and critic of ``TadGan`` learned something of the rows."""

    def _overlap(
        self, net: nn.ModuleDict, windows: NDArray[np.float32], holdout: NDArray[np.intp], faults: Examples
    ) -> tuple[float, float]:
        """How badly the error tells held-out windows from examples of faults made from them, and the standard error of that."""
        return overlap(self._errors(net, windows, holdout), self._errors(net, faults.x, faults.of(holdout)))

    def _diagnose(
        self,
        net: nn.ModuleDict,
        windows: NDArray[np.float32],
        rows: NDArray[np.intp],
        holdout: NDArray[np.intp],
        value: NDArray[np.float64],
    ) -> dict[str, float]:
        """On the held-out windows ``gain``: share of the error explained; ``pca_explained``: the same by a PCA; ``slope``:
        gradient length of the critic of windows, near 1 where its penalty works. ``value``: standard deviation of that critic.
        """
        usual = scored(net, windows[holdout], self._length, self._tensor)
        found = {
            "gain": explained(self._errors(net, windows, holdout), usual),
            "pca_explained": pca_explained(
                lambda x: self._tensor(x).cpu().numpy(), windows, rows, holdout, root_mean_square
            ),
            "slope": self._slope(net, windows[holdout]),
            "value": float(value.std()),
        }
        sound = (
            found["gain"] > 0
            and explains_enough(found["gain"], found["pca_explained"])
            and SLOPES[0] < found["slope"] < SLOPES[1]
            and found["value"] > 1e-6
        )
        return found | {"failed": float(not sound)}

    def _slope(self, net: nn.ModuleDict, windows: NDArray[np.float32]) -> float:
        """Mean gradient length of the critic of windows between windows and generated ones."""
        draw = torch.Generator().manual_seed(self.ctx.seed)
        x = self._tensor(windows[:BLOCK])
        z = torch.randn(len(x), self.params.latent, generator=draw).to(x.device)
        with exact():
            _, slope = penalty(
                net["signals"], x, net["generate"](z).detach(), torch.rand(len(x), generator=draw).to(x.device)
            )
        return float(slope)
