"""Deep SVDD: a network that maps normal records close to one point; the distance from it is the score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from vibro import hookimpl
from vibro.api import Detector, Exported, NotApplicableError, Params, State
from vibro_plugins.deep.attribution import integrated_gradients, slope_of
from vibro_plugins.deep.channels import Channels
from vibro_plugins.deep.detector import LEAST_ROWS, Network, split
from vibro_plugins.deep.diagnostics import effective_rank, separation
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.exposure import LEAST_SEPARATION, exposed, hypersphere
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.images import PICTURE, Pixels, placed
from vibro_plugins.deep.resnet import Upward, map_size, start, trunk
from vibro_plugins.deep.sampling import Trimming, batch_size, minibatches, nearest, passes
from vibro_plugins.deep.training import as_tensor, exact, mixed, scored, seeded, step
from vibro_plugins.portable import network_scores

AWAY = 0.1  # least distance of a centre coordinate from 0
WARM_UP, TRIM_EVERY = 2, 3  # epochs before the first trimming, and between two
CHUNK = 256  # rows encoded at a time while training
COLLAPSED = 1e-3  # share of the codes' initial variance below which they have collapsed
LEAST_GAIN = 0.98  # share of the initial squared distance above which nothing was learned
STEPS = 25  # optimiser steps of an epoch at least with exposure: few rows are passed more than once


@dataclass(frozen=True)
class DeepSvddParams(Params):
    """Settings of ``deep_svdd``.

    ``objective``: mean squared distance (one_class, as in the paper for clean data), a soft boundary (soft), or disturbed
    copies of the records pushed away (exposure)
    ``nu``: share of rows that the soft boundary leaves outside; unused by one_class
    ``backbone``: of images: small for a CPU, resnet18 for a GPU
    ``width``: channels of the first stage of the small backbone; a vector's network has 8 times as many units
    ``code``: dimensions of the code; 128 as in the paper
    ``pretrain``: epochs of the auto-encoder that initialises the network, so that the first codes tell records apart
    ``epochs``: epochs at most; few, since codes contracted too far no longer tell records apart
    ``batch``: rows of a step at most; fewer rows are taken in smaller steps
    ``lr``: learning rate of Adam; low for the same reason: three times as much cost 0.026 of AUC on heart beats
    ``weight_decay``: L2 penalty of Adam; 1e-6 as in the paper
    ``trim``: share of rows, the farthest from the centre, not trained on: the most anomalies that are not learned;
    ``patience``: epochs without a fall of the median distance before training stops
    """

    objective: Literal["one_class", "soft", "exposure"] = "one_class"
    nu: Annotated[float, Field(gt=0, lt=1)] = 0.05
    backbone: Literal["small", "resnet18"] = "small"
    width: Annotated[int, Field(ge=2, le=128)] = 16
    code: Annotated[int, Field(ge=2, le=4096)] = 128
    pretrain: Annotated[int, Field(ge=0, le=1000)] = 2
    epochs: Annotated[int, Field(ge=0, le=1000)] = 8
    batch: Annotated[int, Field(ge=2, le=4096)] = 64
    lr: Annotated[float, Field(gt=0, le=10)] = 3e-4
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 1e-6
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    patience: Annotated[int, Field(ge=1, le=1000)] = 10


@dataclass(frozen=True)
class DeepSadParams(DeepSvddParams):
    """Settings of ``deep_sad``: those of ``deep_svdd``, and one more.

    ``eta``: weight of a labelled row relative to one without a label; 1 as in the paper
    """

    eta: Annotated[float, Field(ge=0, le=1000)] = 1.0


class Encoder(nn.Module):
    """Image to code without biases: with them a constant code would minimise the loss (Ruff et al., Proposition 2)."""

    def __init__(self, channels: int, size: tuple[int, int], p: DeepSvddParams) -> None:
        super().__init__()
        self.trunk, self.features, self.halvings = trunk(channels, p.backbone, p.width, bias=False)
        height, width = map_size(size, self.halvings)
        self.out = nn.Linear(self.features * height * width, p.code, bias=False)
        start(self.out)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, code)."""
        return self.out(self.trunk(x).flatten(1))


class Dense(nn.Module):
    """Vector in three channels to code: two hidden layers, without biases."""

    def __init__(self, values: int, p: DeepSvddParams) -> None:
        super().__init__()
        self.first = nn.Linear(3 * values, 8 * p.width, bias=False)
        self.second = nn.Linear(8 * p.width, 4 * p.width, bias=False)
        self.out = nn.Linear(4 * p.width, p.code, bias=False)
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, values) -> (b, code)."""
        return self.out(F.leaky_relu(self.second(F.leaky_relu(self.first(x.flatten(1)), 0.1)), 0.1))


class Decoder(nn.Module):
    """Code to image, for the pre-training only."""

    def __init__(self, encoder: Encoder, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.shape = (encoder.features, *map_size(size, encoder.halvings))
        self.into = nn.Linear(encoder.out.out_features, encoder.out.in_features)
        self.up = Upward(encoder.features, encoder.halvings, channels, size)
        start(self.into)

    def forward(self, code: Tensor) -> Tensor:
        """(b, code) -> (b, channels, h, w)."""
        return self.up(F.leaky_relu(self.into(code), 0.1).reshape(-1, *self.shape))


class DeepSvdd(Network):
    """score = |phi(x) - c|, phi a convolutional network without biases and normalisation, c the mean of its initial codes.

    Ruff et al., Deep One-Class Classification (ICML 2018). one_class: mean d^2. soft: R^2 + mean max(0, d^2 - R^2) / nu,
    R the (1 - nu) quantile of d over the rows trained on, updated once an epoch. phi is initialised as the encoder of an
    auto-encoder; no coordinate of c is nearer to 0 than 0.1. The last epoch's weights are used: the lowest loss would be
    that of the most collapsed network. Rows are trimmed, so that anomalies are not learned: at first those of the largest
    norm, from the third epoch on those farthest from c, chosen again every third epoch. Pixels are standardised one by one
    over the fit rows. A vector is read in three channels (``Channels``): its values, the same whitened, and what its nearest
    sound records leave unexplained.

    exposure (hypersphere classification, Ruff et al., arXiv 2006.00339): mean h(d) over the rows, minus mean log(1 - exp(-h(d)))
    over disturbed copies of them and broad examples, with h(d) = sqrt(d^2 + 1) - 1. It cannot collapse, so that it needs no
    auto-encoder before it.
    """

    name = "deep_svdd"
    summary = "Deep SVDD: distance from the centre of a network without biases"
    Params = DeepSvddParams
    view: ClassVar[dict[str, Any]] = PICTURE
    item = "..."
    min_rows = 24  # with exposure a record has many examples
    seconds = 10.0
    test_settings: ClassVar[dict[str, Any]] = {
        "objective": "exposure",
        "width": 8,
        "code": 16,
        "epochs": 4,
        "lr": 0.003,
    }

    _pixels: Pixels | Channels
    _centre: NDArray[np.float32]  # (code,)
    _radius: float

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from images (n, c, h, w) or, with exposure, from vectors (n, d) too; ``y`` is ignored."""
        if self.params.objective == "exposure":
            self._learn_exposed(x)
        else:
            self._learn(x, np.zeros(len(x), np.float32))

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances from the centre (n,)."""
        return scored(self._fitted(), x, self._away, self._tensor)

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Integrated gradients of the distance, from the median of the fit rows on; same shape as x."""
        usual = self._tensor(self._pixels.centre[None])
        parts = integrated_gradients(self._fitted(), slope_of(self._away), self._tensor(x), usual)
        return self._pixels.by_column(parts, x) if isinstance(self._pixels, Channels) else parts

    def export(self) -> Exported:
        """The network with its distance as a graph, what it reads with numpy alone."""
        if isinstance(self._pixels, Channels):
            shape, function = (3, self._pixels.width), network_scores.channels_score
        else:
            shape, function = self._pixels.centre.shape, network_scores.pixels_score
        return Exported(self._pixels.state(), function, onnx_graph(self._fitted(), self._away, shape))

    def _away(self, rows: Tensor) -> Tensor:
        """Distances of what the network reads from the centre."""
        return torch.linalg.vector_norm(self._net(rows) - as_tensor(self._centre, self.ctx.device), dim=1)

    def _build(self) -> nn.Module:
        if isinstance(self._pixels, Channels):
            return Dense(self._pixels.width, self.params).to(self.ctx.device)
        return placed(Encoder(len(self._pixels.centre), self._pixels.size, self.params), self.ctx.device)

    def _statistics(self) -> State:
        return {**self._pixels.state(), "centre": self._centre, "radius": np.array(self._radius)}

    def _load_statistics(self, state: State) -> None:
        self._pixels = Channels.load(state) if "channels.rows" in state else Pixels.load(state)
        self._centre, self._radius = state["centre"], float(state["radius"])

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
            self._centre = np.zeros(p.code, np.float32)
            optimizer = torch.optim.AdamW(net.parameters(), p.lr, weight_decay=p.weight_decay)
            trimming = Trimming(rows, p.trim, WARM_UP, TRIM_EVERY, kept)
            stopping = EarlyStopping(net, p.patience)
            options = {"net": net, "rng": rng, "trimming": trimming, "stopping": stopping}
            for epoch in self._epochs(x, p.epochs, optimizer, 1 / 30, **options):
                trimming.update(epoch, lambda chosen: self._distance(self._codes(net, x[chosen])))
                size = batch_size(len(trimming.kept), p.batch)
                for part in passes(trimming.kept, size, STEPS, rng):
                    shown = faults.draw(trimming.kept, len(part), rng)
                    step(optimizer, self._hypersphere(net, x[part], part, faults.x[shown], faults.row[shown]))
                if stopping.stop(1 - self._separation(net, x[holdout], faults.x[faults.of(holdout)])):
                    break
            stopping.restore()
            distance = self._distance(self._codes(net, x))
            apart = self._separation(net, x[holdout], faults.x[faults.of(holdout)])
        self._radius = float(np.quantile(distance[trimming.kept], 1 - p.nu))
        sound = apart > LEAST_SEPARATION and np.ptp(distance) > 0
        health = {
            "separation": apart,
            "failed": float(not sound),
            **(self._pixels.used() if isinstance(self._pixels, Channels) else {}),
        }
        self._set_fitted(net, health, stopping.losses, holdout)

    def _separation(self, net: nn.Module, x: NDArray[np.float32], faulty: NDArray[np.float32]) -> float:
        """How well the distance tells sound rows x from examples of faults."""
        return separation(self._distance(self._codes(net, x)), self._distance(self._codes(net, faulty)))

    def _hypersphere(
        self,
        net: nn.Module,
        x: NDArray[np.float32],
        own: NDArray[np.intp],
        y: NDArray[np.float32],
        row: NDArray[np.intp],
    ) -> Tensor:
        """Loss of sound rows x and examples of faults y, with the fit rows that they are or were made from."""
        centre = as_tensor(self._centre, self.ctx.device)
        with mixed(self.ctx.device):
            codes = net(self._pixels.tensor(np.concatenate([x, y]), self.ctx.device, np.concatenate([own, row])))
        distance = torch.linalg.vector_norm(codes.float() - centre, dim=1)
        return hypersphere(distance[: len(x)], distance[len(x) :])

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

    def _tensor(self, x: NDArray[np.float32]) -> Tensor:
        return self._pixels.tensor(x, self.ctx.device)

    def _distance(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.linalg.norm(codes - self._centre, axis=1)

    def _codes(self, net: Encoder, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, code) in eval mode, no gradients."""
        net.eval()
        with exact(), torch.no_grad():
            parts = [net(self._tensor(x[i : i + CHUNK])).cpu().numpy() for i in range(0, len(x), CHUNK)]
        net.train()
        return np.concatenate(parts).astype(np.float64)

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


class DeepSad(DeepSvdd):
    """Deep SVDD that also uses labelled rows: mean over all rows of d^2, or eta d^2 if normal, eta / d^2 if anomalous.

    Ruff et al., Deep Semi-Supervised Anomaly Detection (ICLR 2020). Labels: 1 anomalous, 0 normal, -1 unknown.
    """

    name = "deep_sad"
    summary = "Deep SVDD that is pushed away from records labelled as anomalous"
    Params = DeepSadParams
    needs_labels = True
    item = "c h w"
    test_settings: ClassVar[dict[str, Any]] = {
        "width": 4,
        "code": 16,
        "pretrain": 1,
        "epochs": 3,
        "lr": 0.003,
        "eta": 0.01,
    }

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from images (n, c, h, w) and labels (n,), at least one of them 1 and 20 of them not."""
        if y is None or not np.any(np.asarray(y) == 1):
            raise NotApplicableError("no fit row is labelled as anomalous; deep_svdd needs no labels")
        others = int(np.count_nonzero(np.asarray(y) != 1))
        if others < LEAST_ROWS:
            raise NotApplicableError(f"{others} fit rows are not labelled as anomalous; a centre needs {LEAST_ROWS}")
        self._learn(x, np.select([np.asarray(y) == 1, np.asarray(y) == 0], [-1, 1], 0).astype(np.float32))

    def _loss(self, squared: Tensor, sign: Tensor) -> Tensor:
        """Objective of the rows without a label and term of the labelled ones, weighted by their numbers."""
        known = sign != 0
        loss = (self.params.eta * (squared[known] + 1e-6) ** sign[known]).sum() / len(sign)
        if not bool(known.all()):
            loss = loss + super()._loss(squared[~known], sign[~known]) * ((~known).sum() / len(sign))
        return loss


def centre_of(codes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mean code (code,), coordinates nearer to 0 than 0.1 moved to 0.1 or -0.1."""
    centre = codes.mean(axis=0)
    near = np.abs(centre) < AWAY
    centre[near] = np.where(centre[near] < 0, -AWAY, AWAY)
    return centre.astype(np.float32)


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``deep_svdd`` and ``deep_sad``."""
    register(DeepSvdd)
    register(DeepSad)
