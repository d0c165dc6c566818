"""TadGAN: a window is normal if a generator can give it back from its latent and a critic takes it for real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from vibro import hookimpl
from vibro.api import NotApplicableError, Params, State
from vibro_plugins.deep.detector import LINES, Network, refuse, split
from vibro_plugins.deep.diagnostics import enough, explained, linear
from vibro_plugins.deep.early_stopping import Plateau
from vibro_plugins.deep.sampling import Deck, Trimming
from vibro_plugins.deep.standardise import heard, mean_squares, medians
from vibro_plugins.deep.training import as_tensor, exact, mixed, scored, seeded, step
from vibro_plugins.deep.windows import MOST_SAMPLES, cut, windows_of
from vibro_plugins.detectors.tadgan.networks import (
    ConvCritic,
    Encoder,
    Generator,
    PatchCritic,
    latent_critic,
    penalty,
)

LIMIT = 20.0  # standardised values are clipped here
LEAST_BATCHES = 5
SMALL_BATCH = 8  # down to which a batch shrinks where windows are few
STEPS = 50  # of the critics an epoch, however many windows there are
WARM_UP, TRIM_EVERY = 5, 5  # epochs before the first trimming, and between two
BLOCK = 256  # windows that the critic's slope is taken on
BETAS = (0.5, 0.9)  # of Adam, as usual for Wasserstein critics
SLOPES = (0.2, 5.0)  # between which the critic's gradient has to be; its penalty wants 1


@dataclass(frozen=True)
class TadGanParams(Params):
    """``window`` and ``hop`` cut a record along its last axis (0: the whole, and no overlap), the last window ending where it
    ends; ``pool``: record from windows.

    ``latent`` values a window; ``critic`` of signals: convolutions, or a Transformer over patches of ``patch`` values;
    ``epochs`` of 50 critic steps, ``critic_steps`` of them for each step of encoder and generator; ``penalty`` on the
    gradient of both critics; ``cycle``: weight of the reconstruction. ``error``: by point, or of the running mean over
    ``area`` values. ``combine``: ``alpha`` of the error and 1 - alpha of the critic, or their product. ``trim``: share of
    windows, the worst rebuilt, not trained on. ``batch`` at most: few windows are taken in smaller ones.
    """

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
    of the unit gradient penalty, Cx on windows and Cz on latents:
    min over E, G, max over Cx, Cz of E[Cx(x)] - E[Cx(G(z))] + E[Cz(z)] - E[Cz(E(x))] + cycle |x - G(E(x))|, z ~ N(0, I);
    the length |.| is taken over a whole window, as that of the critic's gradient is. Five critic steps a step of
    E and G. e is the root mean square of x - G(E(x)), by point or of its running integral. The critic's value has an
    unusual side at either end: m and s are mean and standard deviation of the middle half of the fit windows. z(.) are
    median and 1.4826 MAD over the fit windows, frozen, so that no window depends on those scored beside it. product:
    p(e) p(c) with p(u) = v + sqrt(v^2 + 1/4), v = (1 + z(u)) / 2: the positive part of 1 + z, smooth so that it has no ties.

    Values are centred by place and share one scale a channel. A tenth of the windows is held out: training stops when their
    median error no longer falls, with the best networks kept. A view whose phase or order is fixed: a vector such as
    ``zerone``, ``cycles``, heart beats; the waveform of a record that begins anywhere cannot be rebuilt from few values.
    """

    name = "tadgan"
    summary = "TadGAN: reconstruction error and critic of a generative adversarial auto-encoder"
    Params = TadGanParams
    view: ClassVar[dict[str, Any]] = LINES
    seconds = 22.0
    test_settings: ClassVar[dict[str, Any]] = {
        "latent": 8,
        "width": 4,
        "batch": 10,
        "epochs": 1,
        "lr": 0.01,
        "critic_steps": 1,
    }

    _centre: NDArray[np.float32]  # (channels, length) of a window
    _scale: NDArray[np.float32]  # (channels, 1)
    _frozen: NDArray[np.float64]  # median and MAD of the error, m and s of the critic, median and MAD of its distance

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from vectors (n, values) or sequences and records (n, channels, length)."""
        p = self.params
        if x.ndim not in (2, 3):
            raise NotApplicableError(
                f"the view has rows of shape {x.shape[1:]}; tadgan reads vectors or (channels, samples), no images"
            )
        refuse(x)
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
        held, rows = (windows_of(part, count) for part in split(len(x), self.ctx, rng))
        with seeded(self.ctx):
            net = self._build()
            self._train(net, windows, rows, held, size, rng)
        error, value = self._errors(net, windows), self._values(net, windows)
        middle, spread = _middle_half(value)
        distance = np.abs(value - middle) / spread
        self._frozen = np.array([*_centre_and_mad(error), middle, spread, *_centre_and_mad(distance)])
        self._settle(net, self._examined(net, windows, rows, held, value))

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores of the records (n,), pooled over their windows."""
        net = self._fitted()
        windows = self._windows(x)
        error, value = self._errors(net, windows), self._values(net, windows)
        e0, e1, middle, spread, c0, c1 = self._frozen
        z_error, z_critic = (error - e0) / e1, (np.abs(value - middle) / spread - c0) / c1
        if self.params.combine == "sum":
            both = self.params.alpha * z_error + (1 - self.params.alpha) * z_critic
        else:
            both = positive(1 + z_error) * positive(1 + z_critic)
        both = both.reshape(len(x), -1)
        return both.mean(axis=1) if self.params.pool == "mean" else both.max(axis=1)

    def _learned(self) -> State:
        return {"centre": self._centre, "scale": self._scale, "frozen": self._frozen}

    def _recall(self, state: State) -> None:
        self._centre, self._scale, self._frozen = state["centre"], state["scale"], state["frozen"]

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
        held: NDArray[np.intp],
        size: int,
        rng: np.random.Generator,
    ) -> None:
        """The adversarial game."""
        p = self.params
        makers = torch.optim.Adam([*net["encode"].parameters(), *net["generate"].parameters()], p.lr, BETAS)
        critics = torch.optim.Adam([*net["signals"].parameters(), *net["latents"].parameters()], p.lr, BETAS)
        plateau, trimming, deck = Plateau(net, p.patience), Trimming(rows, p.trim, WARM_UP, TRIM_EVERY), Deck(size, rng)
        how = {"net": net, "critics": critics, "rng": rng, "plateau": plateau, "trimming": trimming, "deck": deck}
        for epoch in self._epochs(windows, p.epochs, makers, None, **how):
            if trimming.look(epoch, lambda chosen: self._errors(net, windows, chosen)):
                deck.clear()
            for turn in range(epoch * STEPS, (epoch + 1) * STEPS):
                batch = self._tensor(windows, deck.deal(trimming.kept))
                self._critic_step(net, critics, batch)
                if (turn + 1) % p.critic_steps == 0:
                    self._maker_step(net, makers, batch)
            if plateau.stop(float(np.median(self._errors(net, windows, held)))):
                break
        plateau.restore()

    def _critic_step(self, net: nn.ModuleDict, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
        """Both critics learn to tell x from G(z), and z from E(x); in float32, since their penalty differentiates twice."""
        z = torch.randn(len(x), self.params.latent, device=x.device)
        with torch.no_grad():
            fake, code = net["generate"](z), net["encode"](x)
        share = torch.rand(2, len(x), device=x.device)
        steep_signal, _ = penalty(net["signals"], x, fake, share[0])
        steep_latent, _ = penalty(net["latents"], z, code, share[1])
        loss = net["signals"](fake).mean() - net["signals"](x).mean()
        loss = loss + net["latents"](code).mean() - net["latents"](z).mean()
        step(optimizer, loss + self.params.penalty * (steep_signal + steep_latent))

    def _maker_step(self, net: nn.ModuleDict, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
        """Encoder and generator deceive both critics and give x back."""
        z = torch.randn(len(x), self.params.latent, device=x.device)
        with mixed(self.ctx.device):
            code = net["encode"](x)
            cycle = torch.linalg.vector_norm((x - net["generate"](code)).flatten(1).float(), dim=1).mean()
            loss = -net["signals"](net["generate"](z)).mean() - net["latents"](code).mean() + self.params.cycle * cycle
        step(optimizer, loss)

    def _windows(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, values) or (n, channels, length) -> (n * windows, channels, window), windows of a record in turn."""
        p = self.params
        lines = x.reshape(len(x), -1, x.shape[-1])
        length = min(p.window, x.shape[-1]) or x.shape[-1]
        return cut(lines, length, p.hop or length)

    def _tensor(self, windows: NDArray[np.float32], part: Any = slice(None)) -> Tensor:
        z = (windows[part].astype(np.float64) - self._centre) * (1 / self._scale)
        return as_tensor(np.clip(z, -LIMIT, LIMIT), self.ctx.device)

    def _errors(self, net: nn.ModuleDict, windows: NDArray[np.float32], part: Any = slice(None)) -> NDArray[np.float64]:
        """Length of what the generator does not give back (n,)."""

        def error(x: Tensor) -> Tensor:
            return self._length(x - net["generate"](net["encode"](x)))

        return scored(net, windows[part], error, self._tensor)

    def _length(self, rest: Tensor) -> Tensor:
        """Root mean square (b,), by point or of the running mean over ``area`` values."""
        if self.params.error == "area":
            rest = F.avg_pool1d(rest, min(self.params.area, rest.shape[2]), 1)
        return torch.sqrt(torch.mean(rest**2, dim=(1, 2)))

    def _values(self, net: nn.ModuleDict, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the critic of signals says (n,)."""
        return scored(net, windows, lambda x: net["signals"](x), self._tensor)

    def _examined(
        self,
        net: nn.ModuleDict,
        windows: NDArray[np.float32],
        rows: NDArray[np.intp],
        held: NDArray[np.intp],
        value: NDArray[np.float64],
    ) -> dict[str, float]:
        """On the held-out windows ``gain``: share of the error of the median window, which is zero after centring, that the
        networks explain; ``linear``: what principal axes do; ``slope``: gradient length of the critic of signals, 1 where its
        penalty holds. ``value``: spread of that critic over all windows.
        """
        usual = scored(net, windows[held], self._length, self._tensor)
        found = {
            "gain": explained(self._errors(net, windows, held), usual),
            "linear": linear(lambda part: self._tensor(part).cpu().numpy(), windows, rows, held, _root_mean_square),
            "slope": self._slope(net, windows[held]),
            "value": float(value.std()),
        }
        sound = (
            found["gain"] > 0
            and enough(found["gain"], found["linear"])
            and SLOPES[0] < found["slope"] < SLOPES[1]
            and found["value"] > 1e-6
        )
        return found | {"failed": float(not sound)}

    def _slope(self, net: nn.ModuleDict, windows: NDArray[np.float32]) -> float:
        """Mean gradient length of the critic of signals between windows and what the generator makes of prior samples."""
        draw = torch.Generator().manual_seed(self.ctx.seed)
        x = self._tensor(windows[:BLOCK])
        z = torch.randn(len(x), self.params.latent, generator=draw).to(x.device)
        with exact():
            _, slope = penalty(
                net["signals"], x, net["generate"](z).detach(), torch.rand(len(x), generator=draw).to(x.device)
            )
        return float(slope)


def _root_mean_square(rest: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.sqrt(np.mean(rest.astype(np.float64) ** 2, axis=1))


def positive(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """The positive part of u, smooth and rising everywhere, so that no two values become one."""
    return (u + np.sqrt(u * u + 1)) / 2


def _standard(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median at each place (channels, length), and one scale a channel (channels, 1): the median window's root mean square."""
    centre = medians(windows)
    return centre, heard(np.sqrt(np.median(mean_squares(windows, centre, (2,)), axis=0))[:, None])


def _middle_half(value: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation of the values between the quartiles."""
    low, high = np.quantile(value, [0.25, 0.75])
    inside = value[(value >= low) & (value <= high)]
    return float(inside.mean()), float(max(inside.std(), 1e-9))


def _centre_and_mad(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median and 1.4826 MAD."""
    middle = np.median(values)
    return float(middle), float(max(1.4826 * np.median(np.abs(values - middle)), 1e-9))


@hookimpl
def register_detectors(register) -> None:
    """Offers ``tadgan``."""
    register(TadGan)
