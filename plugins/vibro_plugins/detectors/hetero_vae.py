"""Spatial variational auto-encoder: an image is normal if it can be rebuilt from a map of a few latent channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from vibro import hookimpl
from vibro.api import Detector, Exported, NotApplicableError, Params, State
from vibro_plugins.deep.attribution import by_themselves
from vibro_plugins.deep.detector import Network, split
from vibro_plugins.deep.diagnostics import explained, explains_enough, pca_explained, separation
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.exposure import LEAST_SEPARATION, Examples, exposed, margin
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.images import PICTURE, Pixels, placed
from vibro_plugins.deep.resnet import Upward, map_size, start, trunk
from vibro_plugins.deep.sampling import Trimming, batch_size, nearest, passes
from vibro_plugins.deep.standardise import median_and_mad
from vibro_plugins.deep.training import as_tensor, mixed, scored, seeded, step
from vibro_plugins.portable import network_scores

LEAST_FALL = 0.03  # of the error on held-out rows since before training
LOG_VARIANCE = 10.0  # the encoder's log variances are kept within +- this
TRIM_EVERY = 5  # epochs between two choices of the rows to train on
CHUNK = 256  # rows encoded at a time for the checks
STEPS = 20  # optimiser steps of an epoch at least with exposure: few rows are passed more than once
ACTIVE, LEAST_ACTIVE = 0.01, 4  # variance of a latent mean over the fit rows; how many units must pass it


@dataclass(frozen=True)
class HeteroVaeParams(Params):
    """Settings of ``hetero_vae``.

    ``objective``: L1 + beta KL as in the reference (plain), or with a margin of the error of disturbed copies (exposure)
    ``margin``: exposure: factor by which the error of a copy is to exceed that of sound records
    ``backbone``: small for a CPU, resnet18 for a GPU
    ``width``: channels of the first stage of the small backbone
    ``latent``: channels of the latent map; few, so that faults cannot be reconstructed
    ``beta``: weight of the KL term in the loss; small, since both terms are means over pixels or units
    ``warm_up``: epochs over which beta rises linearly from 0, against posterior collapse
    ``weight``: weight of the KL term in the score, in units of its own scale; 0.1: reconstruction tells more
    ``epochs``: epochs at most
    ``batch``: rows of a step at most; fewer rows are taken in smaller steps
    ``lr``: learning rate of Adam
    ``trim``: share of rows with the largest error, not trained on: the most anomalies that are not learned
    ``patience``: epochs without a lower loss on held-out rows before training stops
    """

    objective: Literal["plain", "exposure"] = "plain"
    margin: Annotated[float, Field(ge=1, le=100)] = 3.0
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
    """Residual encoder to mean and log variance at every place of a map; decoder with a linear output, since pixels are
    standardised.
    """

    def __init__(self, channels: int, size: tuple[int, int], p: HeteroVaeParams) -> None:
        super().__init__()
        self.trunk, features, halvings = trunk(channels, p.backbone, p.width, bias=True)
        self.places = map_size(size, halvings)
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
    """score = z(L1) + 0.1 z(KL), means over a record's pixels and latent units, reconstructed from the latent mean.

    Kingma and Welling (ICLR 2014) with a latent map instead of a vector and a warm-up of the KL weight (Sonderby et al.
    2016): the loss is L1 + beta KL. z(.) is (value - median) / (1.4826 MAD) over the fit rows, so that the weight means the
    same for any size of image and map. Pixels are standardised one by one over the fit rows. A tenth of the rows is held
    out: training stops when their loss no longer falls, and the best weights after the warm-up are kept. Rows are trimmed,
    so that anomalies are not learned: at first those of the largest norm, after the warm-up those of the largest error,
    chosen again every fifth epoch. ``attribution`` locates the error in the picture.

    exposure: the loss also grows with what the error of disturbed copies lacks of ``margin`` times that of the rows, so that
    the network learns to rebuild records and not faults. The KL term of the score is then left out.
    """

    name = "hetero_vae"
    summary = "spatial variational auto-encoder: error of the rebuilt image and 0.1 KL divergence"
    Params = HeteroVaeParams
    view: ClassVar[dict[str, Any]] = PICTURE
    item = "c h w"
    seconds = 8.0
    test_settings: ClassVar[dict[str, Any]] = {"width": 4, "lr": 0.01, "epochs": 6, "latent": 2, "warm_up": 1}

    _pixels: Pixels
    _terms: NDArray[np.float64]  # (2, 2): median and scale of L1 and of KL over the fit rows

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from images (n, c, h, w)."""
        p = self.params
        self._pixels = Pixels.fit(x)
        rng = self.ctx.rng()
        faults = exposed(self.ctx, x) if p.objective == "exposure" else None
        holdout, rows = map(np.sort, split(len(x), self.ctx, rng))
        with seeded(self.ctx):
            net = self._build()
            before = np.median(self._l1(net, x[holdout]))
            optimizer = torch.optim.Adam(net.parameters(), lr=p.lr)
            kept = rows[nearest(self._pixels.norm(x)[rows], p.trim)]
            stopping = EarlyStopping(net, p.patience)
            trimming = Trimming(rows, p.trim, p.warm_up + TRIM_EVERY, TRIM_EVERY, kept)
            epochs = self._epochs(
                x, p.epochs, optimizer, 1 / 30, net=net, rng=rng, stopping=stopping, trimming=trimming
            )
            for epoch in epochs:
                trimming.update(epoch, lambda chosen: self._l1(net, x)[chosen])
                beta = p.beta * min(1.0, (epoch + 1) / (p.warm_up + 1))
                parts = passes(trimming.kept, batch_size(len(x), p.batch), STEPS if faults else 1, rng)
                self._epoch(net, optimizer, x, beta, parts, faults, trimming.kept, rng)
                loss = self._held_out_loss(net, x[holdout], faults, holdout)
                if not np.isfinite(loss):
                    raise NotApplicableError(f"training diverged in epoch {epoch + 1} at lr {p.lr:g}")
                if epoch >= p.warm_up and stopping.stop(loss):
                    break
            if p.epochs > p.warm_up:
                stopping.restore()
        self._terms = np.array([median_and_mad(term(net, x), 1e-3) for term in (self._l1, self._kl)])
        if faults:
            apart = 1 - self._held_out_loss(net, x[holdout], faults, holdout)
            health = {"separation": apart, "failed": float(apart < LEAST_SEPARATION)}
        else:
            health = self._diagnose(net, x, rows, holdout, before)
        self._set_fitted(net, health, stopping.losses, holdout)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """z(L1) + weight z(KL), (n,)."""
        net = self._fitted()
        (l1, l1_scale), (kl, kl_scale) = self._terms
        weight = self.params.weight if self.params.objective == "plain" else 0.0
        return (self._l1(net, x) - l1) / l1_scale + weight * (self._kl(net, x) - kl) / kl_scale

    def export(self) -> Exported:
        """Error and divergence of an image as a graph, the pixels with numpy alone."""
        net = self._fitted()

        def both(x: Tensor) -> Tensor:
            mean, log_variance = net.encode(x)
            error = (net.decode(mean) - x).abs().mean(dim=(1, 2, 3))
            return torch.stack([error, kl_mean(mean, log_variance)], dim=1)

        graph = onnx_graph(net, both, self._pixels.centre.shape)
        weight = np.array(self.params.weight if self.params.objective == "plain" else 0.0)
        return Exported({**self._statistics(), "weight": weight}, network_scores.vae_score, graph)

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Error map: the absolute error of every pixel of images (n, c, h, w), in units of its scale over the fit rows.

        exposure: the mean error that each pixel by itself causes in the median of the fit rows. Such a network has learned to
        rebuild faults badly, and does so all over the image, not where they are.
        """
        net = self._fitted()

        def error(rows: Tensor) -> Tensor:
            return (net.decode(net.encode(rows)[0]) - rows).abs()

        if self.params.objective == "plain":
            return scored(net, x, error, self._tensor)
        return by_themselves(net, lambda rows: error(rows).mean(dim=(1, 2, 3)), self._tensor(x))

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Latent means (n, k) of images."""
        net = self._fitted()
        return scored(net, x, lambda rows: net.encode(rows)[0].flatten(1), self._tensor)

    def decode(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Images (n, c, h, w) of latents (n, k); a pixel that did not vary among the fit rows stays as it was."""
        net, pixels = self._fitted(), self._pixels
        shape, tensor = (self.params.latent, *net.places), partial(as_tensor, device=self.ctx.device)
        found = scored(net, codes, lambda rows: net.decode(rows.unflatten(1, shape)), tensor)
        scale = np.divide(1, pixels.factor, out=np.zeros_like(pixels.factor), where=pixels.factor > 0)
        return found * scale + pixels.centre

    def _build(self) -> Vae:
        return placed(Vae(len(self._pixels.centre), self._pixels.size, self.params), self.ctx.device)

    def _statistics(self) -> State:
        return {**self._pixels.state(), "terms": self._terms}

    def _load_statistics(self, state: State) -> None:
        self._pixels, self._terms = Pixels.load(state), state["terms"]

    def _epoch(
        self,
        net: Vae,
        optimizer: torch.optim.Optimizer,
        x: NDArray[np.float32],
        beta: float,
        parts: list[NDArray[np.intp]],
        faults: Examples | None,
        kept: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> None:
        """One pass over the rows of ``parts`` with sampled latents; as many examples of faults made from the rows ``kept``."""
        for part in parts:
            batch = self._tensor(x[part])
            with mixed(self.ctx.device):
                mean, log_variance = net.encode(batch)
                z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
                error = (net.decode(z) - batch).abs().mean(dim=(1, 2, 3))
                loss = error.mean() + beta * kl_mean(mean, log_variance).mean()
                if faults:
                    shown = self._tensor(faults.x[faults.draw(kept, len(part), rng)])
                    rebuilt = net.decode(net.encode(shown)[0])
                    loss = loss + margin(error, (rebuilt - shown).abs().mean(dim=(1, 2, 3)), self.params.margin)
            step(optimizer, loss, clip=1.0)

    def _held_out_loss(
        self, net: Vae, x: NDArray[np.float32], faults: Examples | None, rows: NDArray[np.intp]
    ) -> float:
        """By which training stops: the median loss of held-out rows x, or how many examples made from them they exceed."""
        l1 = self._l1(net, x)
        if faults is None:
            return float(np.median(l1 + self.params.beta * self._kl(net, x)))
        return 1 - separation(l1, self._l1(net, faults.x[faults.of(rows)])) if np.isfinite(l1).all() else np.nan

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

    def _diagnose(
        self, net: Vae, x: NDArray[np.float32], rows: NDArray[np.intp], holdout: NDArray[np.intp], before: float
    ) -> dict[str, float]:
        """``active``: latent units whose mean has a variance above 0.01 over the fit rows. On the held-out rows ``gain``: share
        of the error explained; ``pca_explained``: the same by a PCA; ``fall`` of the error since before training.
        """
        with torch.no_grad():
            means = [
                net.encode(self._tensor(x[i : i + CHUNK]))[0].flatten(1).cpu().numpy() for i in range(0, len(x), CHUNK)
            ]
        l1 = self._l1(net, x[holdout])
        blank = scored(net, x[holdout], lambda rows: rows.abs().mean(dim=(1, 2, 3)), self._tensor)
        found = {
            "active": float((np.concatenate(means).var(axis=0) > ACTIVE).sum()),
            "gain": explained(l1, blank),
            "pca_explained": pca_explained(
                self._pixels.apply, x, rows, holdout, lambda rest: np.abs(rest).mean(axis=1)
            ),
            "fall": float(1 - np.median(l1) / before),
        }
        sound = (
            found["active"] >= LEAST_ACTIVE
            and explains_enough(found["gain"], found["pca_explained"])
            and found["fall"] > LEAST_FALL
        )
        return found | {"failed": float(not sound)}


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``hetero_vae``."""
    register(HeteroVae)
