"""The objective of the paper: codes close to one point, with pre-training, trimmed rows and signs of collapse."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vibro.api import NotApplicableError
from vibro_plugins.deep.diagnostics import effective_rank
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.images import Pixels, placed
from vibro_plugins.deep.sampling import Trimming, batch_size, minibatches, nearest
from vibro_plugins.deep.training import as_tensor, mixed, seeded, step
from vibro_plugins.detectors.deep_svdd.networks import Decoder, Encoder
from vibro_plugins.detectors.deep_svdd.sphere import TRIM_EVERY, WARM_UP, Sphere

AWAY = 0.1  # least distance of a centre coordinate from 0
COLLAPSED = 1e-3  # share of the codes' initial variance below which they have collapsed
LEAST_GAIN = 0.98  # share of the initial squared distance above which nothing was learned


class OneClass(Sphere):
    """The objectives ``one_class`` and ``soft`` of ``DeepSvdd``, on images."""

    def _learn(self, x: NDArray[np.float32], sign: NDArray[np.float32]) -> None:
        """Training; ``sign`` (n,) is +1 for rows labelled as normal, -1 for anomalous ones, 0 for the others.

        Rows labelled as normal are never trimmed; those labelled as anomalous are only pushed away from the centre.
        """
        p = self.params
        self._pixels = Pixels.fit(x)
        rng = self.ctx.rng()
        unknown, sound, marked = (np.flatnonzero(sign == value) for value in (0, 1, -1))
        with seeded(self.ctx):
            net = self._build()
            kept = unknown[nearest(self._pixels.norm(x)[unknown], p.trim)]
            self._pretrain(net, x, np.union1d(kept, sound), sign, rng)
            first = self._codes(net, x)
            self._centre = centre_of(first[np.union1d(kept, sound)])
            optimizer = torch.optim.Adam(net.parameters(), lr=p.lr, weight_decay=p.weight_decay)
            stopping, trimming = EarlyStopping(net, p.patience), Trimming(unknown, p.trim, WARM_UP, TRIM_EVERY, kept)
            lowest = {"variance": 1.0, "effective_rank": np.inf, "radius": np.inf}
            checkpointed = {"net": net, "rng": rng, "stopping": stopping, "trimming": trimming, "numbers": lowest}
            epochs = self._epochs(x, p.epochs, optimizer, 1 / 100, sign, before=p.pretrain, **checkpointed)
            codes = self._codes(net, x) if epochs.done else first
            for epoch in epochs:
                trimming.update(epoch, lambda rows, codes=codes: self._distance(codes[rows]))
                kept = np.union1d(trimming.kept, sound)
                self._radius = self._quantile(codes[kept])
                if stopping.stop(float(np.median(self._distance(codes[sign >= 0])))):
                    break
                rows = np.append(kept, marked)
                self._epoch(net, optimizer, x, sign, minibatches(rows, batch_size(len(x), p.batch), rng))
                codes = self._codes(net, x)
                if not np.isfinite(codes).all():
                    raise NotApplicableError(f"training diverged in epoch {epoch + 1} at lr {p.lr:g}")
                for name, value in self._collapse(codes[kept], first[kept]).items():
                    epochs.numbers[name] = min(epochs.numbers[name], value)
        kept = np.union1d(trimming.kept, sound)
        self._radius = self._quantile(codes[kept])
        health = self._diagnose(net, codes[kept], first[kept], epochs.numbers)
        self._set_fitted(net, health, stopping.losses)

    def _collapse(self, codes: NDArray[np.float64], first: NDArray[np.float64]) -> dict[str, float]:
        """Signs that codes (n, code) have collapsed: their variance as a share of the initial one, their rank and radius."""
        variance = float(codes.var(axis=0).sum() / max(first.var(axis=0).sum(), 1e-30))
        return {"variance": variance, "effective_rank": effective_rank(codes), "radius": self._quantile(codes)}

    def _quantile(self, codes: NDArray[np.float64]) -> float:
        """R, the (1 - nu) quantile of the distances."""
        return float(np.quantile(self._distance(codes), 1 - self.params.nu))

    def _pretrain(
        self,
        net: Encoder,
        x: NDArray[np.float32],
        rows: NDArray[np.intp],
        sign: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> None:
        """Trains an auto-encoder for ``pretrain`` epochs, so that the initial codes tell records apart."""
        p = self.params
        decoder = placed(Decoder(net, x.shape[1], self._pixels.size), self.ctx.device)
        optimizer = torch.optim.Adam([*net.parameters(), *decoder.parameters()], lr=p.lr)
        options = {"net": net, "decoder": decoder, "rng": rng, "name": "pretrain", "after": p.epochs}
        for _ in self._epochs(x, p.pretrain, optimizer, None, sign, **options):
            for part in minibatches(rows, batch_size(len(rows), p.batch), rng):
                batch = self._tensor(x[part])
                with mixed(self.ctx.device):
                    loss = F.smooth_l1_loss(decoder(net(batch)), batch)
                step(optimizer, loss)

    def _epoch(
        self,
        net: Encoder,
        optimizer: torch.optim.Optimizer,
        x: NDArray[np.float32],
        sign: NDArray[np.float32],
        parts: list[NDArray[np.intp]],
    ) -> None:
        """One pass over the rows of ``parts``."""
        centre = as_tensor(self._centre, self.ctx.device)
        for part in parts:
            with mixed(self.ctx.device):
                codes = net(self._tensor(x[part]))
            squared = torch.sum((codes.float() - centre) ** 2, dim=1)
            step(optimizer, self._loss(squared, as_tensor(sign[part], self.ctx.device)))

    def _loss(self, squared: Tensor, sign: Tensor) -> Tensor:
        """One-class or soft-boundary objective of squared distances (b,)."""
        p = self.params
        if p.objective == "soft":
            return self._radius**2 + torch.relu(squared - self._radius**2).mean() / p.nu
        return squared.mean()

    def _diagnose(
        self, net: Encoder, codes: NDArray[np.float64], first: NDArray[np.float64], lowest: Mapping[str, float]
    ) -> dict[str, float]:
        """The lowest ``variance``, ``effective_rank`` and ``radius`` after any epoch, as in ``_collapse``; ``contraction``:
        median squared distance over the initial one; ``range``: IQR of the distances over their median; ``offset``: largest
        value of the code of a blank image, 0 without biases; ``centre``: coordinate of the centre nearest to 0.
        """
        blank = torch.zeros(1, *self._pixels.centre.shape, device=self.ctx.device)
        with torch.no_grad():
            offset = float(net(blank).abs().max())
        distance = self._distance(codes)
        low, middle, high = np.quantile(distance, [0.25, 0.5, 0.75])
        found = {
            **{name: min(value, lowest[name]) for name, value in self._collapse(codes, first).items()},
            "contraction": float(middle**2 / max(np.median(self._distance(first)) ** 2, 1e-30)),
            "range": float((high - low) / max(middle, 1e-30)),
            "offset": offset,
            "centre": float(np.abs(self._centre).min()),
        }
        sound = (
            found["variance"] > COLLAPSED
            and found["effective_rank"] >= 2
            and found["radius"] > 0
            and found["contraction"] < LEAST_GAIN
            and found["range"] > 1e-3
            and offset == 0
            and found["centre"] >= np.float32(AWAY)
        )
        return found | {"failed": float(not sound)}


def centre_of(codes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mean code (code,), coordinates nearer to 0 than 0.1 moved to 0.1 or -0.1."""
    centre = codes.mean(axis=0)
    near = np.abs(centre) < AWAY
    centre[near] = np.where(centre[near] < 0, -AWAY, AWAY)
    return centre.astype(np.float32)
