"""Spatial variational auto-encoder: an image is normal if it can be rebuilt from a map of a few latent channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from vibro import hookimpl
from vibro.api import Detector, NotFittedError, Params, StandAside, State
from vibro_plugins._images import Pixels, placed
from vibro_plugins._resnet import Upward, start, trunk
from vibro_plugins._torch import Plateau, arrays, batch_size, load_arrays, minibatches, nearest, scored, seeded

LOG_VARIANCE = 10.0  # the encoder's log variances are kept within +- this
TRIM_EVERY = 5  # epochs between two choices of the rows to train on
CHUNK = 256  # rows encoded at a time for the checks
ACTIVE, LEAST_ACTIVE = 0.01, 4  # variance of a latent mean over the fit rows; how many units must pass it
LEAST_GAIN = -0.02  # share of the median image's error explained; images of noise have nothing to explain


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
    patience: Annotated[int, Field(ge=1)] = 6


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


class HeteroVae(Detector):
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
    view: ClassVar[dict[str, Any]] = {"use": "zerone_image", "of": {"use": "per_sensor", "of": "zerone"}}
    item = "c h w"
    requires = ("torch",)
    exclusive = True
    cross_fit = False
    min_rows = 50
    seconds = 15.0
    test_settings: ClassVar[dict[str, Any]] = {"width": 4, "lr": 0.01, "epochs": 6, "latent": 2, "warm_up": 1}

    _net: Vae | None = None
    _pixels: Pixels
    _terms: NDArray[np.float64]  # (2, 2): median and spread of L1 and of KL over the fit rows
    _fit_health: dict[str, float]

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from images (n, c, h, w)."""
        p = self.params
        self._pixels = Pixels.fit(x)
        rng = self.ctx.rng()
        order = rng.permutation(len(x))
        held, rows = np.sort(order[: len(x) // 10]), np.sort(order[len(x) // 10 :])
        with seeded(self.ctx):
            net = placed(Vae(x.shape[1], self._pixels.size, p), self.ctx.device)
            optimizer = torch.optim.Adam(net.parameters(), lr=p.lr)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(p.epochs, 1), p.lr / 30)
            plateau, kept = Plateau(net, p.patience), rows[nearest(self._pixels.norm(x)[rows], p.trim)]
            for epoch in range(p.epochs):
                past = epoch - p.warm_up
                if past > 0 and past % TRIM_EVERY == 0:
                    kept = rows[nearest(self._l1(net, x)[rows], p.trim)]
                beta = p.beta * min(1.0, (epoch + 1) / (p.warm_up + 1))
                self._epoch(net, optimizer, x, beta, minibatches(kept, batch_size(len(x), p.batch), rng))
                schedule.step()
                self.ctx.progress(epoch + 1, p.epochs)
                loss = float(np.median(self._l1(net, x[held]) + p.beta * self._kl(net, x[held])))
                if not np.isfinite(loss):
                    raise StandAside(f"training diverged in epoch {epoch + 1} at lr {p.lr:g}")
                if past >= 0 and plateau.stop(loss):
                    break
            if p.epochs > p.warm_up:
                plateau.restore()
        self._net = net
        l1, kl = self._l1(net, x), self._kl(net, x)
        self._terms = np.stack([_location(l1), _location(kl)])
        self._fit_health = self._examined(net, x, l1)

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

    def health(self) -> Mapping[str, float]:
        """``active`` units, whose mean varies over the fit rows by more than 0.01; ``gain``: share of the median image's error
        that the network explains; failed if fewer than four, or if it rebuilds worse than that image.
        """
        self._fitted()
        return self._fit_health

    def state(self) -> State:
        """Weights, standardisation, statistics of the terms, health."""
        net = self._fitted()
        health = {f"health.{name}": np.array(value) for name, value in self._fit_health.items()}
        return {**arrays(net), **self._pixels.state(), "terms": self._terms, **health}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._pixels, self._terms = Pixels.load(state), state["terms"]
        self._fit_health = {name[7:]: float(value) for name, value in state.items() if name.startswith("health.")}
        with seeded(self.ctx):
            net = Vae(len(self._pixels.centre), self._pixels.size, self.params)
        load_arrays(net, state)
        self._net = placed(net, self.ctx.device)

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
            mean, log_variance = net.encode(batch)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            loss = (net.decode(z) - batch).abs().mean() + beta * kl_mean(mean, log_variance).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()

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

    def _examined(self, net: Vae, x: NDArray[np.float32], l1: NDArray[np.float64]) -> dict[str, float]:
        """Active units, and the gain over the median image, which is zero after standardising."""
        with torch.no_grad():
            means = [
                net.encode(self._tensor(x[i : i + CHUNK]))[0].flatten(1).cpu().numpy() for i in range(0, len(x), CHUNK)
            ]
        active = float((np.concatenate(means).var(axis=0) > ACTIVE).sum())
        blank = np.median([np.abs(self._pixels.apply(row[None])).mean() for row in x])
        gain = float(1 - np.median(l1) / max(blank, 1e-12))
        return {"active": active, "gain": gain, "failed": float(not (active >= LEAST_ACTIVE and gain > LEAST_GAIN))}

    def _fitted(self) -> Vae:
        if self._net is None:
            raise NotFittedError("hetero_vae is not fitted")
        return self._net


def _location(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median and 1.4826 MAD, the latter not below a thousandth of the median."""
    middle = np.median(value)
    return np.array([middle, max(1.4826 * np.median(np.abs(value - middle)), 1e-3 * abs(middle), 1e-9)])


@hookimpl
def register_detectors(register) -> None:
    """Offers ``hetero_vae``."""
    register(HeteroVae)
