"""Adversarial training: encoder and generator against a critic of windows and a critic of codes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import NotApplicableError
from vibro_plugins.deep.detector import require_trainable, split
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.exposure import LEAST_SEPARATION, Examples, exposed, margin
from vibro_plugins.deep.sampling import BatchSampler, Trimming, nearest
from vibro_plugins.deep.standardise import floor_scale, mean_squares, median_and_mad, medians
from vibro_plugins.deep.training import mixed, scored, seeded, step
from vibro_plugins.deep.windows import windows_of
from vibro_plugins.detectors.tadgan.diagnosis import Diagnosis
from vibro_plugins.detectors.tadgan.networks import penalty

LEAST_BATCHES = 5
SMALL_BATCH = 8  # windows of a batch at least, where windows are few
STEPS = 50  # critic steps of an epoch, however many windows there are
WARM_UP, TRIM_EVERY = 5, 5  # epochs before the first trimming, and between two
BETAS = (0.5, 0.9)  # of Adam, as usual for Wasserstein critics


class Adversarial(Diagnosis):
    """The training of ``TadGan``, with both objectives."""

    def _learn(self, x: NDArray[np.float32]) -> None:
        """From vectors (n, values) or sequences and records (n, channels, length)."""
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
            stopping = self._train(net, windows, rows, holdout, size, rng, faults)
        error, value = self._errors(net, windows), self._values(net, windows)
        middle, deviation = _middle_half(value)
        distance = np.abs(value - middle) / deviation
        self._reference = np.array([*median_and_mad(error), middle, deviation, *median_and_mad(distance)])
        if faults:
            apart = 1 - self._overlap(net, windows, holdout, faults)[0]
            health = {"separation": apart, "epoch": stopping.epoch, "failed": float(apart < LEAST_SEPARATION)}
        else:
            health = self._diagnose(net, windows, rows, holdout, value)
        self._set_fitted(net, health, stopping.losses, np.unique(holdout // count))

    def _train(
        self,
        net: nn.ModuleDict,
        windows: NDArray[np.float32],
        rows: NDArray[np.intp],
        holdout: NDArray[np.intp],
        size: int,
        rng: np.random.Generator,
        faults: Examples | None,
    ) -> EarlyStopping:
        """Adversarial training; ``faults``: examples of faulty windows. The losses after each epoch, and which was kept."""
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
        if faults:
            stopping.start(*self._overlap(net, windows, holdout, faults))
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
            if faults:
                over = stopping.stop(*self._overlap(net, windows, holdout, faults))
            else:
                over = stopping.stop(float(np.median(self._errors(net, windows, holdout))))
            if over:
                break
        stopping.restore()
        return stopping

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


def _standard(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median of each value (channels, length), and one scale per channel (channels, 1): the median of the windows' RMS."""
    centre = medians(windows)
    return centre, floor_scale(np.sqrt(np.median(mean_squares(windows, centre, (2,)), axis=0))[:, None])


def _middle_half(value: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation of the values between the quartiles."""
    low, high = np.quantile(value, [0.25, 0.75])
    inside = value[(value >= low) & (value <= high)]
    return float(inside.mean()), float(max(inside.std(), 1e-9))
