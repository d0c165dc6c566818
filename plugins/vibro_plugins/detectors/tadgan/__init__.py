"""TadGAN: a window is normal if a generator can reconstruct it from its code and a critic takes it for real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
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
from vibro_plugins.deep.detector import LINES, Network, require_trainable, split
from vibro_plugins.deep.diagnostics import explained, explains_enough, pca_explained, root_mean_square, separation
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.exposure import LEAST_SEPARATION, Examples, exposed, margin
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.sampling import BatchSampler, Trimming, nearest
from vibro_plugins.deep.standardise import floor_scale, mean_squares, median_and_mad, medians
from vibro_plugins.deep.training import as_tensor, exact, mixed, scored, seeded, step
from vibro_plugins.deep.windows import MOST_SAMPLES, cut, put_back, windows_of
from vibro_plugins.detectors.tadgan.networks import ConvCritic, Encoder, Generator, PatchCritic, latent_critic, penalty
from vibro_plugins.portable import network_scores

LIMIT = 20.0  # standardised values are clipped here
LEAST_BATCHES = 5
SMALL_BATCH = 8  # windows of a batch at least, where windows are few
STEPS = 50  # critic steps of an epoch, however many windows there are
WARM_UP, TRIM_EVERY = 5, 5  # epochs before the first trimming, and between two
BLOCK = 256  # windows on which the critic's gradient is evaluated
BETAS = (0.5, 0.9)  # of Adam, as usual for Wasserstein critics
SLOPES = (0.2, 5.0)  # bounds of the critic's gradient length for a sound fit; the penalty pulls it to 1


@dataclass(frozen=True)
class TadGanParams(Params):
    """Settings of ``tadgan``.

    ``objective``: that of the paper (plain), or with disturbed copies as further false windows and a margin (exposure)
    ``margin``: exposure: factor by which the error of a copy is to exceed that of sound records
    ``window``: samples of a window along the last axis; 0: the whole row, as for vectors
    ``hop``: samples between the starts of two windows; 0: windows do not overlap
    ``pool``: score of a record from those of its windows
    ``latent``: values of a window's code; 20 as in the paper
    ``width``: channels of the convolutions
    ``critic``: critic of windows: convolutions (conv) or a Transformer over patches
    ``patch``: values of a patch of the Transformer critic
    ``critic_steps``: critic steps for one step of encoder and generator; 5 as usual for Wasserstein critics
    ``penalty``: weight of the gradient penalty of both critics; 10 as in Gulrajani et al.
    ``cycle``: weight of the reconstruction error in the loss; 10 as in the paper
    ``error``: reconstruction error by point, or of the running mean (area)
    ``area``: values of the running mean
    ``combine``: error and critic as a weighted sum or as a product
    ``alpha``: weight of the error in the sum; the critic has the rest
    ``epochs``: epochs at most, each of 50 critic steps
    ``batch``: windows of a step at most; fewer where windows are few
    ``lr``: learning rate of Adam
    ``trim``: share of windows with the largest error, not trained on; more was tried without gain
    ``patience``: epochs without a lower error on held-out windows before training stops
    """

    objective: Literal["plain", "exposure"] = "plain"
    margin: Annotated[float, Field(ge=1, le=100)] = 3.0
    window: Annotated[int, Field(ge=0, le=MOST_SAMPLES)] = 0
    hop: Annotated[int, Field(ge=0, le=MOST_SAMPLES)] = 0
    pool: Literal["mean", "max"] = "mean"
    latent: Annotated[int, Field(ge=1, le=512)] = 20
    width: Annotated[int, Field(ge=2, le=256)] = 8
    critic: Literal["conv", "transformer"] = "conv"
    patch: Annotated[int, Field(ge=2, le=4096)] = 32
    critic_steps: Annotated[int, Field(ge=1, le=50)] = 5
    penalty: Annotated[float, Field(ge=0, le=1000)] = 10.0
    cycle: Annotated[float, Field(ge=0, le=1000)] = 10.0
    error: Literal["point", "area"] = "point"
    area: Annotated[int, Field(ge=2, le=4096)] = 10
    combine: Literal["sum", "product"] = "sum"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.9
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 30
    batch: Annotated[int, Field(ge=4, le=4096)] = 32
    lr: Annotated[float, Field(gt=0, le=10)] = 3e-3
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    patience: Annotated[int, Field(ge=1, le=10_000)] = 10


class TadGan(Network):
    """score = alpha z(e) + (1 - alpha) z(|Cx(x) - m| / s), or the product of both.

    Geiger et al., TadGAN (IEEE Big Data 2020, arXiv 2009.07769). Encoder E and generator G against two Wasserstein critics
    with gradient penalty, Cx on windows and Cz on codes:
    min over E, G, max over Cx, Cz of E[Cx(x)] - E[Cx(G(z))] + E[Cz(z)] - E[Cz(E(x))] + cycle |x - G(E(x))|, z ~ N(0, I);
    |.| is the Euclidean length over a whole window. e is the root mean square of x - G(E(x)), by point or of its running
    mean. The critic's value is unusual at either end: m and s are mean and standard deviation of the middle half of the fit
    windows. z(.) is standardised by median and 1.4826 MAD over the fit windows, so that scores are independent of the
    batch. product: p(e) p(c) with p(u) = v + sqrt(v^2 + 1/4), v = (1 + z(u)) / 2: the positive part of 1 + z, smoothed so
    that it has no ties.

    exposure: disturbed copies of records are false windows for Cx, as many as generated ones, and the loss of E and G grows with
    what their error lacks of ``margin`` times that of the rows.

    Values are centred one by one and share one scale per channel. A tenth of the windows is held out: training stops when
    their median error no longer falls, and the best networks are kept. For views whose phase or order is fixed: a vector
    such as ``zerone``, ``cycles``, heart beats; a waveform that starts anywhere cannot be reconstructed from few values.
    """

    name = "tadgan"
    summary = "TadGAN: reconstruction error and critic of a generative adversarial auto-encoder"
    Params = TadGanParams
    view: ClassVar[dict[str, Any]] = LINES
    seconds = 6.0
    test_settings: Mapping[str, Any] = {
        "latent": 8,
        "width": 4,
        "batch": 10,
        "epochs": 1,
        "lr": 0.01,
        "critic_steps": 1,
    }

    _centre: NDArray[np.float32]  # (channels, length) of a window
    _scale: NDArray[np.float32]  # (channels, 1)
    _reference: NDArray[
        np.float64
    ]  # median and MAD of the error, m and s of the critic, median and MAD of its distance

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from vectors (n, values) or sequences and records (n, channels, length)."""
        p = self.params
        if x.ndim not in (2, 3):
            raise NotApplicableError(
                f"the view has rows of shape {x.shape[1:]}; tadgan reads vectors or (channels, samples), no images"
            )
        require_trainable(x)
        windows = self._windows(x)
        size = min(p.batch, max(SMALL_BATCH, len(windows) // (2 * LEAST_BATCHES)))
        if len(windows) < LEAST_BATCHES * size:
            raise NotApplicableError(
                f"{len(windows)} windows are fewer than {LEAST_BATCHES} batches of {size}; set a smaller batch or window"
            )
        self._centre, self._scale = _standard(windows)
        if not self._scale.any():
            raise NotApplicableError(f"the view is constant over the {len(x)} fit rows")
        rng = self.ctx.rng()
        count = len(windows) // len(x)
        faults = exposed(self.ctx, x).windows(self._windows, count) if p.objective == "exposure" else None
        holdout, rows = (windows_of(part, count) for part in split(len(x), self.ctx, rng))
        with seeded(self.ctx):
            net = self._build()
            losses = self._train(net, windows, rows, holdout, size, rng, faults)
        error, value = self._errors(net, windows), self._values(net, windows)
        middle, deviation = _middle_half(value)
        distance = np.abs(value - middle) / deviation
        self._reference = np.array([*median_and_mad(error), middle, deviation, *median_and_mad(distance)])
        if faults:
            apart = self._separation(net, windows, holdout, faults)
            health = {"separation": apart, "failed": float(apart < LEAST_SEPARATION)}
        else:
            health = self._diagnose(net, windows, rows, holdout, value)
        self._set_fitted(net, health, losses, np.unique(holdout // count))

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) pooled over the windows of each record."""
        net = self._fitted()
        windows = self._windows(x)
        error, value = self._errors(net, windows), self._values(net, windows)
        e0, e1, middle, deviation, c0, c1 = self._reference
        z_error, z_critic = (error - e0) / e1, (np.abs(value - middle) / deviation - c0) / c1
        if self.params.combine == "sum":
            both = self.params.alpha * z_error + (1 - self.params.alpha) * z_critic
        else:
            both = positive(1 + z_error) * positive(1 + z_critic)
        both = both.reshape(len(x), -1)
        return both.mean(axis=1) if self.params.pool == "mean" else both.max(axis=1)

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Squared error of each value, same shape as x; exposure: integrated gradients of the error, see ``hetero_vae``.

        What the critic adds to the score is left out.
        """
        net, windows = self._fitted(), self._windows(x)

        def rest(rows: Tensor) -> Tensor:
            return rows - net["generate"](net["encode"](rows))

        if self.params.objective == "plain":
            parts = scored(net, windows, lambda rows: rest(rows) ** 2, self._tensor)
        else:
            rows = self._tensor(windows)
            slope = slope_of(lambda part: self._length(rest(part)))
            parts = integrated_gradients(net, slope, rows, torch.zeros_like(rows[:1]))
        lines = x.reshape(len(x), -1, x.shape[-1]).shape
        return put_back(parts, lines, self.params.hop or parts.shape[2]).reshape(x.shape)

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Codes (n, k) of vectors; NotApplicableError where a record is more than one window of one channel."""
        net, windows = self._fitted(), self._windows(x)
        if x.ndim != 2 or windows.shape[::2] != x.shape:
            raise NotApplicableError("only vectors of a single window are generated as a whole")
        return scored(net, windows, net["encode"], self._tensor)

    def decode(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors (n, values) that the generator makes of codes (n, k)."""
        net = self._fitted()
        made = scored(net, codes, net["generate"], partial(as_tensor, device=self.ctx.device))
        return np.asarray(made * self._scale + self._centre)[:, 0]

    def export(self) -> Exported:
        """Error and critic of windows as a graph, the windows and what is made of both with numpy alone."""
        p, net = self.params, self._fitted()
        settings = {"hop": p.hop or self._centre.shape[1], "sum": p.combine == "sum", "mean": p.pool == "mean"}
        arrays = {name: np.array(value) for name, value in {**settings, "alpha": p.alpha}.items()}

        def both(x: Tensor) -> Tensor:
            error = self._length(x - net["generate"](net["encode"](x)))
            return torch.stack([error, net["signals"](x).reshape(-1)], dim=1)

        graph = onnx_graph(net, both, self._centre.shape)
        return Exported({**self._statistics(), **arrays}, network_scores.windows_score, graph)

    def _statistics(self) -> State:
        return {"centre": self._centre, "scale": self._scale, "reference": self._reference}

    def _load_statistics(self, state: State) -> None:
        self._centre, self._scale, self._reference = state["centre"], state["scale"], state["reference"]

    def _build(self) -> nn.ModuleDict:
        p = self.params
        channels, length = self._centre.shape
        critic = (
            ConvCritic(channels, length, p.width)
            if p.critic == "conv"
            else PatchCritic(channels, length, p.width, p.patch)
        )
        return nn.ModuleDict(
            {
                "encode": Encoder(channels, length, p.width, p.latent),
                "generate": Generator(channels, length, p.width, p.latent),
                "signals": critic,
                "latents": latent_critic(p.latent, p.width),
            }
        ).to(self.ctx.device)

    def _train(
        self,
        net: nn.ModuleDict,
        windows: NDArray[np.float32],
        rows: NDArray[np.intp],
        holdout: NDArray[np.intp],
        size: int,
        rng: np.random.Generator,
        faults: Examples | None,
    ) -> list[float]:
        """Adversarial training; ``faults``: examples of faulty windows. The losses after each epoch."""
        p = self.params
        makers = torch.optim.Adam([*net["encode"].parameters(), *net["generate"].parameters()], p.lr, BETAS)
        critics = torch.optim.Adam([*net["signals"].parameters(), *net["latents"].parameters()], p.lr, BETAS)
        size_of = scored(net, windows, self._length, self._tensor) if faults else None
        kept = None if size_of is None else rows[nearest(size_of[rows], p.trim)]
        stopping, trimming, sampler = (
            EarlyStopping(net, p.patience),
            Trimming(rows, p.trim, WARM_UP, TRIM_EVERY, kept),
            BatchSampler(size, rng),
        )
        checkpointed = {"net": net, "critics": critics, "rng": rng}
        checkpointed |= {"stopping": stopping, "trimming": trimming, "sampler": sampler}
        for epoch in self._epochs(windows, p.epochs, makers, None, **checkpointed):
            if trimming.update(epoch, lambda chosen: self._errors(net, windows, chosen)):
                sampler.clear()
            for turn in range(epoch * STEPS, (epoch + 1) * STEPS):
                batch = self._tensor(windows, sampler.next(trimming.kept))
                shown = self._tensor(faults.x[faults.draw(trimming.kept, len(batch), rng)]) if faults else None
                self._critic_step(net, critics, batch, shown)
                if (turn + 1) % p.critic_steps == 0:
                    self._maker_step(net, makers, batch, shown)
            apart = self._separation(net, windows, holdout, faults) if faults else None
            if stopping.stop(float(np.median(self._errors(net, windows, holdout))) if apart is None else 1 - apart):
                break
        stopping.restore()
        return stopping.losses

    def _critic_step(
        self, net: nn.ModuleDict, optimizer: torch.optim.Optimizer, x: Tensor, shown: Tensor | None
    ) -> None:
        """Both critics learn to tell x from G(z), and z from E(x); in float32, since their penalty differentiates twice.

        ``shown``: examples of faults, which take the place of half of G(z).
        """
        z = torch.randn(len(x), self.params.latent, device=x.device)
        with torch.no_grad():
            fake, code = net["generate"](z), net["encode"](x)
            fake = fake if shown is None else torch.cat([fake[::2], shown[1::2]])
        share = torch.rand(2, len(x), device=x.device)
        steep_signal, _ = penalty(net["signals"], x, fake, share[0])
        steep_latent, _ = penalty(net["latents"], z, code, share[1])
        loss = net["signals"](fake).mean() - net["signals"](x).mean()
        loss = loss + net["latents"](code).mean() - net["latents"](z).mean()
        step(optimizer, loss + self.params.penalty * (steep_signal + steep_latent))

    def _maker_step(
        self, net: nn.ModuleDict, optimizer: torch.optim.Optimizer, x: Tensor, shown: Tensor | None
    ) -> None:
        """Encoder and generator learn to deceive both critics and to reconstruct x."""
        z = torch.randn(len(x), self.params.latent, device=x.device)
        with mixed(self.ctx.device):
            code = net["encode"](x)
            cycle = torch.linalg.vector_norm((x - net["generate"](code)).flatten(1).float(), dim=1)
            loss = -net["signals"](net["generate"](z)).mean() - net["latents"](code).mean()
            loss = loss + self.params.cycle * cycle.mean()
            if shown is not None:
                error = torch.linalg.vector_norm(
                    (shown - net["generate"](net["encode"](shown))).flatten(1).float(), dim=1
                )
                loss = loss + self.params.cycle * cycle.mean().detach() * margin(cycle, error, self.params.margin)
        step(optimizer, loss)

    def _windows(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, values) or (n, channels, length) -> (n * windows, channels, window), those of one record after another."""
        p = self.params
        lines = x.reshape(len(x), -1, x.shape[-1])
        length = min(p.window, x.shape[-1]) or x.shape[-1]
        return cut(lines, length, p.hop or length)

    def _tensor(self, windows: NDArray[np.float32], part: Any = slice(None)) -> Tensor:
        z = (windows[part].astype(np.float64) - self._centre) * (1 / self._scale)
        return as_tensor(np.clip(z, -LIMIT, LIMIT), self.ctx.device)

    def _errors(self, net: nn.ModuleDict, windows: NDArray[np.float32], part: Any = slice(None)) -> NDArray[np.float64]:
        """Reconstruction error of windows (n,)."""

        def error(x: Tensor) -> Tensor:
            return self._length(x - net["generate"](net["encode"](x)))

        return scored(net, windows[part], error, self._tensor)

    def _separation(
        self, net: nn.ModuleDict, windows: NDArray[np.float32], holdout: NDArray[np.intp], faults: Examples
    ) -> float:
        """How well the error tells held-out windows from examples of faults made from them."""
        error = self._errors(net, faults.x, faults.of(holdout))
        return separation(self._errors(net, windows, holdout), error) if np.isfinite(error).all() else np.nan

    def _length(self, rest: Tensor) -> Tensor:
        """Root mean square (b,), by point or of the running mean over ``area`` values."""
        if self.params.error == "area":
            rest = F.avg_pool1d(rest, min(self.params.area, rest.shape[2]), 1)
        return torch.sqrt(torch.mean(rest**2, dim=(1, 2)))

    def _values(self, net: nn.ModuleDict, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Value of the critic of windows (n,)."""
        return scored(net, windows, lambda x: net["signals"](x), self._tensor)

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


def positive(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """The positive part of u, smooth and strictly increasing, so that it makes no ties."""
    return (u + np.sqrt(u * u + 1)) / 2


def _standard(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median of each value (channels, length), and one scale per channel (channels, 1): the median of the windows' RMS."""
    centre = medians(windows)
    return centre, floor_scale(np.sqrt(np.median(mean_squares(windows, centre, (2,)), axis=0))[:, None])


def _middle_half(value: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation of the values between the quartiles."""
    low, high = np.quantile(value, [0.25, 0.75])
    inside = value[(value >= low) & (value <= high)]
    return float(inside.mean()), float(max(inside.std(), 1e-9))


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``tadgan``."""
    register(TadGan)
