"""Spatial variational auto-encoder: an image is normal if it can be rebuilt from a map of a few latent channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from vibro import hookimpl
from vibro.api import NotApplicableError, Params, State
from vibro_plugins.deep.detector import Network, split
from vibro_plugins.deep.diagnostics import enough, explained, linear
from vibro_plugins.deep.early_stopping import Plateau
from vibro_plugins.deep.images import PICTURE, Pixels, placed
from vibro_plugins.deep.resnet import Upward, start, trunk
from vibro_plugins.deep.sampling import Trimming, batch_size, minibatches, nearest
from vibro_plugins.deep.training import mixed, scored, seeded, step

LEAST_FALL = 0.03  # of the error on held-out rows since before the first step
LOG_VARIANCE = 10.0  # the encoder's log variances are kept within +- this
TRIM_EVERY = 5  # epochs between two choices of the rows to train on
CHUNK = 256  # rows encoded at a time for the checks
ACTIVE, LEAST_ACTIVE = 0.01, 4  # variance of a latent mean over the fit rows; how many units must pass it


@dataclass(frozen=True)
class HeteroVaeParams(Params):
    """``latent`` channels of the map; ``beta``: weight of the KL term, reached linearly over ``warm_up`` epochs; ``weight``
    of the KL term in the score; ``trim``: share of rows, the worst rebuilt, not trained on after the warm-up;
    ``patience``: epochs without gain on held-out rows before it stops; ``batch``: rows of a step at most, less of few rows.
    """

    backbone: Literal["small", "resnet18"] = "small"
    width: Annotated[int, Field(ge=2, le=128)] = 8
    latent: Annotated[int, Field(ge=1, le=256)] = 4
    beta: Annotated[float, Field(ge=0, le=100)] = 0.01
    warm_up: Annotated[int, Field(ge=0, le=1000)] = 4
    weight: Annotated[float, Field(ge=0, le=10)] = 0.1
    epochs: Annotated[int, Field(ge=0, le=1000)] = 20
    batch: Annotated[int, Field(ge=2, le=4096)] = 64
    lr: Annotated[float, Field(gt=0, le=10)] = 2e-3
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    patience: Annotated[int, Field(ge=1, le=1000)] = 6


class Vae(nn.Module):
    """Residual trunk, 1 x 1 convolution to mean and log variance of every place of the map, transposed convolutions back.

    The output is linear, since standardised pixels have no bounds.
    """

    def __init__(self, channels: int, size: tuple[int, int], p: HeteroVaeParams) -> None:
        super().__init__()
        self.trunk, features, halvings = trunk(channels, p.backbone, p.width, bias=True)
        self.moments = nn.Conv2d(features, 2 * p.latent, 1)
        self.into = nn.Conv2d(p.latent, features, 1)
        self.up = Upward(features, halvings, channels, size)
        start(self.moments)
        start(self.into)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(b, channels, h, w) -> mean and log variance, (b, latent, h / 8, w / 8) each."""
        mean, log_variance = self.moments(self.trunk(x)).chunk(2, dim=1)
        return mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)

    def decode(self, z: Tensor) -> Tensor:
        """(b, latent, h / 8, w / 8) -> (b, channels, h, w)."""
        return self.up(self.into(z))


def kl_mean(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence from the standard normal, averaged over all units of a record: (b, ...) twice -> (b,)."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).flatten(1).mean(dim=1)


class HeteroVae(Network):
    """score = z(L1) + 0.1 z(KL), both averaged over a record's pixels or latent units, rebuilt from the latent mean.

    Kingma and Welling (ICLR 2014) with a latent map instead of a vector and the weight of KL raised from 0 (Sonderby et
    al. 2016): the loss is L1 + beta KL, both as means. z(.) is (value - median) / (1.4826 MAD) by the rows of the fit, so
    that the weight means the same for any size of image and map. Pixels are standardised by place over the fit rows. A
    tenth of the rows is held out: training stops when their loss no longer falls, and the best weights after the warm-up
    are kept. Some rows are not trained on, so that anomalies among them are not learned: at first those of the largest norm,
    after the warm-up those rebuilt worst, chosen again every fifth epoch.

    ``error_map`` shows where in the picture the error lies.
    """

    name = "hetero_vae"
    summary = "spatial variational auto-encoder: error of the rebuilt image and 0.1 KL divergence"
    Params = HeteroVaeParams
    view: ClassVar[dict[str, Any]] = PICTURE
    item = "c h w"
    seconds = 15.0
    test_settings: ClassVar[dict[str, Any]] = {"width": 4, "lr": 0.01, "epochs": 6, "latent": 2, "warm_up": 1}

    _pixels: Pixels
    _terms: NDArray[np.float64]  # (2, 2): median and spread of L1 and of KL over the fit rows

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from images (n, c, h, w)."""
        p = self.params
        self._pixels = Pixels.fit(x)
        rng = self.ctx.rng()
        held, rows = map(np.sort, split(len(x), self.ctx, rng))
        with seeded(self.ctx):
            net = self._build()
            before = np.median(self._l1(net, x[held]))
            optimizer = torch.optim.Adam(net.parameters(), lr=p.lr)
            kept = rows[nearest(self._pixels.norm(x)[rows], p.trim)]
            plateau = Plateau(net, p.patience)
            trimming = Trimming(rows, p.trim, p.warm_up + TRIM_EVERY, TRIM_EVERY, kept)
            epochs = self._epochs(x, p.epochs, optimizer, 1 / 30, net=net, rng=rng, plateau=plateau, trimming=trimming)
            for epoch in epochs:
                trimming.look(epoch, lambda chosen: self._l1(net, x)[chosen])
                beta = p.beta * min(1.0, (epoch + 1) / (p.warm_up + 1))
                self._epoch(net, optimizer, x, beta, minibatches(trimming.kept, batch_size(len(x), p.batch), rng))
                loss = float(np.median(self._l1(net, x[held]) + p.beta * self._kl(net, x[held])))
                if not np.isfinite(loss):
                    raise NotApplicableError(f"training diverged in epoch {epoch + 1} at lr {p.lr:g}")
                if epoch >= p.warm_up and plateau.stop(loss):
                    break
            if p.epochs > p.warm_up:
                plateau.restore()
        self._terms = np.stack([_location(self._l1(net, x)), _location(self._kl(net, x))])
        self._settle(net, self._examined(net, x, rows, held, before))

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """z(L1) + weight z(KL), (n,)."""
        net = self._fitted()
        (l1, l1_spread), (kl, kl_spread) = self._terms
        return (self._l1(net, x) - l1) / l1_spread + self.params.weight * (self._kl(net, x) - kl) / kl_spread

    def error_map(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Error of every pixel in units of its line's spread at fit, images (n, c, h, w) -> the same shape."""
        net = self._fitted().eval()
        out = np.empty(x.shape, np.float32)
        with torch.no_grad():
            for i in range(0, len(x), 64):
                z = self._tensor(x[i : i + 64])
                out[i : i + 64] = (net.decode(net.encode(z)[0]) - z).abs().cpu().numpy()
        return out

    def _build(self) -> Vae:
        return placed(Vae(len(self._pixels.centre), self._pixels.size, self.params), self.ctx.device)

    def _learned(self) -> State:
        return {**self._pixels.state(), "terms": self._terms}

    def _recall(self, state: State) -> None:
        self._pixels, self._terms = Pixels.load(state), state["terms"]

    def _epoch(
        self,
        net: Vae,
        optimizer: torch.optim.Optimizer,
        x: NDArray[np.float32],
        beta: float,
        parts: list[NDArray[np.intp]],
    ) -> None:
        """One pass over the rows of ``parts`` with sampled latents."""
        for part in parts:
            batch = self._tensor(x[part])
            with mixed(self.ctx.device):
                mean, log_variance = net.encode(batch)
                z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
                loss = (net.decode(z) - batch).abs().mean() + beta * kl_mean(mean, log_variance).mean()
            step(optimizer, loss, clip=1.0)

    def _tensor(self, x: NDArray[np.float32]) -> Tensor:
        return self._pixels.tensor(x, self.ctx.device)

    def _l1(self, net: Vae, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean absolute error of a record's pixels (n,)."""

        def error(rows: Tensor) -> Tensor:
            return (net.decode(net.encode(rows)[0]) - rows).abs().mean(dim=(1, 2, 3))

        return scored(net, x, error, self._tensor)

    def _kl(self, net: Vae, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean KL divergence of a record's latent units (n,)."""
        return scored(net, x, lambda rows: kl_mean(*net.encode(rows)), self._tensor)

    def _examined(
        self, net: Vae, x: NDArray[np.float32], rows: NDArray[np.intp], held: NDArray[np.intp], before: float
    ) -> dict[str, float]:
        """``active`` units, whose mean varies over the fit rows by more than 0.01; on the held-out rows ``gain``, the share of
        the median image's error that the network explains, ``linear``, what principal axes do, and ``fall`` of its own error.
        """
        with torch.no_grad():
            means = [
                net.encode(self._tensor(x[i : i + CHUNK]))[0].flatten(1).cpu().numpy() for i in range(0, len(x), CHUNK)
            ]
        l1 = self._l1(net, x[held])
        blank = scored(net, x[held], lambda rows: rows.abs().mean(dim=(1, 2, 3)), self._tensor)
        found = {
            "active": float((np.concatenate(means).var(axis=0) > ACTIVE).sum()),
            "gain": explained(l1, blank),
            "linear": linear(self._pixels.apply, x, rows, held, lambda rest: np.abs(rest).mean(axis=1)),
            "fall": float(1 - np.median(l1) / before),
        }
        sound = (
            found["active"] >= LEAST_ACTIVE and enough(found["gain"], found["linear"]) and found["fall"] > LEAST_FALL
        )
        return found | {"failed": float(not sound)}


def _location(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median and 1.4826 MAD, the latter not below a thousandth of the median."""
    middle = np.median(value)
    return np.array([middle, max(1.4826 * np.median(np.abs(value - middle)), 1e-3 * abs(middle), 1e-9)])


@hookimpl
def register_detectors(register) -> None:
    """Offers ``hetero_vae``."""
    register(HeteroVae)
