"""The objective with disturbed copies: records close to one point, copies of them and broad examples far from it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro_plugins.deep.channels import Channels
from vibro_plugins.deep.detector import split
from vibro_plugins.deep.diagnostics import overlap
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.exposure import LEAST_SEPARATION, exposed, hypersphere
from vibro_plugins.deep.images import Pixels
from vibro_plugins.deep.sampling import Trimming, batch_size, nearest, passes
from vibro_plugins.deep.training import as_tensor, mixed, seeded, step
from vibro_plugins.detectors.deep_svdd.sphere import TRIM_EVERY, WARM_UP, Sphere

STEPS = 25  # optimiser steps of an epoch at least: few rows are passed more than once


class Exposed(Sphere):
    """The objective ``exposure`` of ``DeepSvdd``, on images and on vectors."""

    def _learn_exposed(self, x: NDArray[np.float32]) -> None:
        """Training against disturbed copies; those of held-out rows only judge it."""
        p = self.params
        self._pixels = Channels.fit(x) if x.ndim == 2 else Pixels.fit(x)
        rng = self.ctx.rng()
        faults = exposed(self.ctx, x)
        holdout, rows = split(len(x), self.ctx, rng)
        norm = self._pixels.norm(x, np.arange(len(x)))
        with seeded(self.ctx):
            net = self._build()
            kept = rows[nearest(norm[rows], p.trim)]
            self._centre = np.zeros(self._heads * p.code, np.float32)
            optimizer = torch.optim.AdamW(net.parameters(), p.lr, weight_decay=p.weight_decay)
            trimming = Trimming(rows, p.trim, WARM_UP, TRIM_EVERY, kept)
            judged = x[holdout], faults.x[faults.of(holdout)]
            stopping = EarlyStopping(net, p.patience)
            stopping.start(*self._overlap(net, *judged))
            options = {"net": net, "rng": rng, "trimming": trimming, "stopping": stopping}
            for epoch in self._epochs(x, p.epochs, optimizer, 1 / 30, **options):
                trimming.update(epoch, lambda chosen: self._distance(self._codes(net, x[chosen])))
                size = batch_size(len(trimming.kept), p.batch)
                for part in passes(trimming.kept, size, STEPS, rng):
                    shown = faults.draw(trimming.kept, len(part), rng)
                    step(optimizer, self._hypersphere(net, x[part], part, faults.x[shown], faults.row[shown]))
                if stopping.stop(*self._overlap(net, *judged)):
                    break
            stopping.restore()
            distance = self._distance(self._codes(net, x))
            apart = 1 - self._overlap(net, *judged)[0]
        self._radius = float(np.quantile(distance[trimming.kept], 1 - p.nu))
        sound = apart > LEAST_SEPARATION and np.ptp(distance) > 0
        health = {
            "separation": apart,
            "epoch": stopping.epoch,
            "failed": float(not sound),
            **(self._pixels.used() if isinstance(self._pixels, Channels) else {}),
        }
        self._set_fitted(net, health, stopping.losses, holdout)

    def _overlap(self, net: nn.Module, x: NDArray[np.float32], faulty: NDArray[np.float32]) -> tuple[float, float]:
        """How badly the distance tells sound rows x from examples of faults, and the standard error of that."""
        return overlap(self._distance(self._codes(net, x)), self._distance(self._codes(net, faulty)))

    def _hypersphere(
        self,
        net: nn.Module,
        x: NDArray[np.float32],
        own: NDArray[np.intp],
        y: NDArray[np.float32],
        row: NDArray[np.intp],
    ) -> Tensor:
        """Loss of sound rows x and examples of faults y, with the fit rows that they are or were made from; of each head."""
        centre = as_tensor(self._centre, self.ctx.device)
        with mixed(self.ctx.device):
            codes = net(self._pixels.tensor(np.concatenate([x, y]), self.ctx.device, np.concatenate([own, row])))
        distance = torch.linalg.vector_norm((codes.float() - centre).unflatten(1, (self._heads, -1)), dim=2)
        return hypersphere(distance[: len(x)], distance[len(x) :])
