"""Training of the encoder until it no longer does the task better on held-out rows, and the fit of the head."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, nn

from vibro.api import NotApplicableError
from vibro_plugins.deep.channels import Channels
from vibro_plugins.deep.detector import require_trainable, split
from vibro_plugins.deep.diagnostics import effective_rank, separation
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.exposure import LEAST_SEPARATION, Examples, exposed
from vibro_plugins.deep.sampling import Trimming, nearest, passes
from vibro_plugins.deep.standardise import floor_scale, mean_squares, medians
from vibro_plugins.deep.training import as_tensor, mixed, seeded, step
from vibro_plugins.deep.windows import windows_of
from vibro_plugins.detectors.contrastive.heads import fit_head
from vibro_plugins.detectors.contrastive.losses import moco
from vibro_plugins.detectors.contrastive.pretext import Pretext
from vibro_plugins.stats.columns import evenly_spaced
from vibro_plugins.stats.neighbours import Neighbours

LEAST_LENGTH = 4  # values of a line or pixels of the shorter side
STEPS = 25  # optimiser steps of an epoch at least: few rows are passed more than once
WARM_UP, TRIM_EVERY = 5, 5  # epochs before the first trimming, and between two
SAMPLE = 512  # windows that the diagnostics use


class Trained(Pretext):
    """The training of ``Contrastive``, with both objectives."""

    def _learn(self, x: NDArray[np.float32]) -> None:
        """From vectors (n, values), records (n, channels, samples) or images (n, channels, h, w)."""
        p = self.params
        sides = x.shape[2:] if x.ndim == 4 else x.shape[-1:]
        if not 2 <= x.ndim <= 4 or min(sides) < LEAST_LENGTH:
            raise NotApplicableError(
                f"the view has rows of shape {x.shape[1:]}; vectors, records or images (c, h, w)"
                f" of {LEAST_LENGTH} values a side are needed"
            )
        require_trainable(x)
        self._wave = x.ndim == 3
        faults = exposed(self.ctx, x) if p.objective == "exposure" else None
        self._channels = Channels.fit(x) if faults and x.ndim == 2 else None
        windows = self._windows(x, np.arange(len(x)))
        self._centre, self._scale = self._standard(windows)
        if not self._scale.any():
            raise NotApplicableError(f"the view is constant over the {len(x)} fit rows")
        self._varies = as_tensor((windows != windows[:1]).any(axis=0), self.ctx.device)
        rng = self.ctx.rng()
        count = len(windows) // len(x)
        record = np.arange(len(windows)) // count
        holdout, rows = (windows_of(part, count) for part in split(len(x), self.ctx, rng))
        holdout = holdout.reshape(-1, count).T.reshape(-1)  # many records in a block of windows
        sample = windows[evenly_spaced(len(windows), SAMPLE)]
        with seeded(self.ctx):
            net = self._build()
            before = self._mean_loss(net, windows, record, holdout)
            shown = faults and faults.windows(lambda x: self._windows(x, faults.row), count)
            losses = self._train(net, windows, record, rows, holdout, rng, shown)
            gain = 1 - self._mean_loss(net, windows, record, holdout) / before
        codes = self._coded(net, x)
        if not effective_rank(codes):
            raise NotApplicableError("training collapsed: the codes of all fit rows are one, or not finite")
        kept = codes[nearest(self._remoteness(codes), p.trim)]
        self._head = fit_head(p.head, kept, p.neighbours, self.ctx.seed % 2**32)
        health = self._diagnose(net, sample, gain) | self._used(len(kept))
        if faults:
            held = np.unique(record[holdout])
            apart = separation(
                self._head.score(codes[held]), self._head.score(self._coded(net, faults.x[faults.of(held)]))
            )
            health |= {"separation": apart, "failed": float(apart < LEAST_SEPARATION)}
        self._set_fitted(net, health, losses, np.unique(record[holdout]))

    def _train(
        self,
        net: nn.ModuleDict,
        windows: NDArray[np.float32],
        record: NDArray[np.intp],
        rows: NDArray[np.intp],
        holdout: NDArray[np.intp],
        rng: np.random.Generator,
        faults: Examples | None,
    ) -> list[float]:
        """Trains on ``rows`` of the windows, whose records are ``record``, until the loss of ``holdout`` no longer falls.

        ``faults``: examples of faults, which take the place of edited records. The losses after each epoch.
        """
        p = self.params
        draw = Generator().manual_seed(self.ctx.seed)
        queue = self._first_queue(net, windows, record, rows) if p.loss == "moco" else None
        optimizer = torch.optim.Adam(net.parameters(), lr=p.lr)
        kept = rows[nearest(self._size(windows)[rows], p.trim)] if faults else None
        stopping, trimming = EarlyStopping(net, p.patience), Trimming(rows, p.trim, WARM_UP, TRIM_EVERY, kept)
        checkpointed = {"net": net, "rng": rng, "draw": draw, "stopping": stopping, "trimming": trimming}
        checkpointed |= {"queue": queue} if queue else {}
        for epoch in self._epochs(windows, p.epochs, optimizer, 1 / 30, **checkpointed):
            trimming.update(epoch, lambda chosen: self._remoteness(self._embedded(net, windows[chosen])))
            for part in passes(trimming.kept, p.batch, STEPS, rng):
                first, second, shifted = self._three(self._tensor(windows[part]), draw)
                if faults:
                    shifted = self._tensor(faults.x[faults.draw(trimming.kept, len(part), rng)])
                with mixed(self.ctx.device):
                    if queue is None:
                        loss = self._nt_xent(net, first, second, shifted, record[part])
                    else:
                        key, others = queue.key(second), None if shifted is None else queue.key(shifted)
                        query = net["project"](net["encode"](first))
                        loss = moco(query, key, queue.others(record[part]), others, p.temperature, p.shifted)
                step(optimizer, loss, clip=1.0)
                if queue is not None:
                    queue.follow(net, key, record[part])
            if stopping.stop(self._mean_loss(net, windows, record, holdout)):
                break
        stopping.restore()
        return stopping.losses

    def _remoteness(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean distance to the neighbours, more of them than are trimmed, so that a cluster of that size stands out too."""
        found = Neighbours(int(self.params.trim * len(codes)) + self.params.neighbours)
        found.store(codes.astype(np.float32))
        parts = np.array_split(codes.astype(np.float32), max(1, len(codes) // 256))
        return np.concatenate([found.query(part)[0].mean(axis=1) for part in parts])

    def _standard(self, windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Median of each value, or of each channel of records that start anywhere; the median of the rows' RMS."""
        centre = medians(windows)
        if self._wave and self.params.shift != 0:
            centre = np.array(np.broadcast_to(np.median(centre, axis=1, keepdims=True), centre.shape))
        square = mean_squares(windows, centre, tuple(range(2, windows.ndim)))
        return centre, floor_scale(np.sqrt(np.median(square, axis=0)).reshape(-1, *(1,) * (windows.ndim - 2)))

    def _size(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Root mean square of the standardised windows (m,): by it rows are trimmed before there is a network."""
        axes = tuple(range(1, windows.ndim))
        return np.sqrt(mean_squares(windows / self._scale, self._centre / self._scale, axes))

    def _used(self, rows: int) -> dict[str, float]:
        """``rows_used``: how many fit rows records are compared with, where not all."""
        if (used := self._head.used(rows)) < rows:
            return {"rows_used": float(used)}
        return {} if self._channels is None else self._channels.used()
