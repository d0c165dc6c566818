"""LSTM auto-encoder: a record is normal if it can be reconstructed from a short code of its sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from vibro_plugins.deep.attribution import integrated_gradients, slope_of
from vibro_plugins.deep.detector import LINES, Network, require_trainable, split
from vibro_plugins.deep.diagnostics import explained, explains_enough, overlap, pca_explained, root_mean_square
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.exposure import LEAST_SEPARATION, exposed, margin
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.sampling import Trimming, nearest, passes
from vibro_plugins.deep.standardise import BLOCK, mean_squares, medians
from vibro_plugins.deep.training import as_tensor, mixed, scored, seeded, step
from vibro_plugins.portable import network_scores

MOST_STEPS = 1024
PATCH, USUAL_STEPS = 25, 64  # default values of a step, more where that leaves more steps than this
LIMIT = 100.0  # standardised values are clipped here
STEPS = 25  # optimiser steps of an epoch at least: few rows are passed more than once
WARM_UP, TRIM_EVERY = 5, 5  # epochs before the first trimming, and between two


@dataclass(frozen=True)
class LstmAeParams(Params):
    """Settings of ``lstm_ae``.

    ``objective``: mean squared error as in the reference (plain), or with a margin of the error of disturbed copies (exposure)
    ``margin``: exposure: factor by which the error of a copy is to exceed that of sound records
    ``patch``: values of a step; unset: 25, or as many as leave 64 steps; 0: rows are sequences (steps, values) already
    ``hidden``: units of the outer LSTMs
    ``code``: units of the inner LSTMs; few, so that faults cannot be reconstructed
    ``epochs``: epochs at most, each of 25 steps or more
    ``batch``: rows of a step
    ``lr``: learning rate of Adam
    ``trim``: share of rows with the largest error, not trained on after a warm-up; more was tried without gain
    ``patience``: epochs without a lower error on held-out rows before training stops
    """

    objective: Literal["plain", "exposure"] = "plain"
    margin: Annotated[float, Field(ge=1, le=100)] = 3.0
    patch: Annotated[int, Field(ge=0, le=8192)] | None = None
    hidden: Annotated[int, Field(ge=2, le=1024)] = 64
    code: Annotated[int, Field(ge=1, le=512)] = 16
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 30
    batch: Annotated[int, Field(ge=2, le=4096)] = 64
    lr: Annotated[float, Field(gt=0, le=10)] = 3e-3
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    patience: Annotated[int, Field(ge=1, le=10_000)] = 12


class AutoEncoder(nn.Module):
    """Two LSTMs to a code (the last state of the inner one), repeated at every step; two LSTMs and a linear layer back."""

    def __init__(self, values: int, hidden: int, code: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            [nn.LSTM(values, hidden, batch_first=True), nn.LSTM(hidden, code, batch_first=True)]
        )
        self.decoder = nn.ModuleList([nn.LSTM(code, code, batch_first=True), nn.LSTM(code, hidden, batch_first=True)])
        self.out = nn.Linear(hidden, values)

    def forward(self, x: Tensor) -> Tensor:
        """(b, steps, values) -> the reconstruction, same shape."""
        y = self.encoder[1](self.encoder[0](x)[0])[1][0][-1]
        y = y.unsqueeze(1).expand(-1, x.shape[1], -1)
        return self.out(self.decoder[1](self.decoder[0](y)[0])[0])


class LstmAe(Network):
    """score = root mean squared error of a record (steps, values) reconstructed by an LSTM auto-encoder.

    Encoder-decoder of Malhotra et al. (ICML Workshop 2016, arXiv 1607.00148) with the code repeated at every decoder step.
    Values are centred one by one over the fit rows and share one scale. A tenth of the rows is held out: training stops
    when their median error no longer falls, and the best weights are kept. Rows with the largest error are trimmed after a
    warm-up and chosen again every few epochs, so that anomalies are not learned.

    exposure: the loss also grows with what the error of disturbed copies lacks of ``margin`` times that of the rows, so that
    the network learns to rebuild records and not faults; training stops when it tells held-out rows from their copies no
    better, and is undone where that is no better than before, beyond its standard error (``epoch`` 0 in the health).

    On a long vector, such as ``zerone`` in units of each sensor, a step is a band of neighbouring values; a waveform can be
    reconstructed only where its phase is fixed (heart beats, the ``cycles`` view).
    """

    name = "lstm_ae"
    summary = "LSTM auto-encoder: root mean squared error of the rebuilt sequence"
    Params = LstmAeParams
    view: ClassVar[dict[str, Any]] = LINES
    seconds = 10.0
    test_settings: Mapping[str, Any] = {"patch": 4, "hidden": 16, "code": 4, "epochs": 30, "batch": 8, "lr": 0.01}

    _centre: NDArray[np.float32]  # (steps, values)
    _scale: float

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, values) or (n, channels, samples) in patches, or from (n, steps, values) with ``patch`` 0."""
        p = self.params
        require_trainable(x)
        sequences = self._sequences(x)
        if sequences.shape[1] > MOST_STEPS:
            raise NotApplicableError(
                f"{sequences.shape[1]} steps are too many for an LSTM (at most {MOST_STEPS}); set a longer patch"
            )
        self._centre, self._scale = _standard(sequences)
        if not self._scale > 0:
            raise NotApplicableError(f"the view is constant over the {len(x)} fit rows")
        z = self._standardised(sequences)
        rng = self.ctx.rng()
        faults = exposed(self.ctx, x) if p.objective == "exposure" else None
        shown = None if faults is None else self._standardised(self._sequences(faults.x))
        holdout, rows = split(len(z), self.ctx, rng)
        kept = rows if faults is None else rows[nearest(root_mean_square(z)[rows], p.trim)]
        with seeded(self.ctx):
            net = self._build()
            optimizer = torch.optim.Adam(net.parameters(), lr=p.lr)
            judged = None if shown is None else shown[faults.of(holdout)]
            stopping, trimming = EarlyStopping(net, p.patience), Trimming(rows, p.trim, WARM_UP, TRIM_EVERY, kept)
            if faults:
                stopping.start(*self._held_out_loss(net, z[holdout], judged))
            epochs = self._epochs(
                z, p.epochs, optimizer, 1 / 30, net=net, rng=rng, stopping=stopping, trimming=trimming
            )
            for epoch in epochs:
                trimming.update(epoch, lambda chosen: self._errors(net, z[chosen]))
                for part in passes(trimming.kept, p.batch, STEPS, rng):
                    batch = as_tensor(z[part], self.ctx.device)
                    with mixed(self.ctx.device):
                        error = torch.mean((net(batch) - batch) ** 2, dim=(1, 2))
                        loss = error.mean()
                        if faults:
                            copies = as_tensor(shown[faults.draw(trimming.kept, len(part), rng)], self.ctx.device)
                            loss = loss + margin(
                                error, torch.mean((net(copies) - copies) ** 2, dim=(1, 2)), p.margin**2
                            )
                    step(optimizer, loss, clip=1.0)
                if stopping.stop(*self._held_out_loss(net, z[holdout], judged)):
                    break
            stopping.restore()
        if faults:
            apart = 1 - self._held_out_loss(net, z[holdout], judged)[0]
            failed = float(apart < LEAST_SEPARATION)
            health: Mapping[str, float] = {"separation": apart, "epoch": stopping.epoch, "failed": failed}
        else:
            health = self._diagnose(net, z, rows, holdout)
        self._set_fitted(net, health, stopping.losses, holdout)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Root mean squared error of the standardised values (n,)."""
        net = self._fitted()
        return self._errors(net, self._standardised(self._sequences(x)))

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Squared error of each value, same shape as x; exposure: integrated gradients of the error, see ``hetero_vae``."""
        net = self._fitted()
        z = self._standardised(self._sequences(x))
        if self.params.objective == "plain":
            parts = scored(net, z, lambda part: (net(part) - part) ** 2, lambda part: as_tensor(part, self.ctx.device))
        else:
            rows = as_tensor(z, self.ctx.device)
            parts = integrated_gradients(net, slope_of(partial(_rebuilt, net)), rows, torch.zeros_like(rows[:1]))
        if self.params.patch == 0:
            return parts
        channels = x.size // (len(x) * x.shape[-1])
        lines = parts.reshape(*parts.shape[:2], channels, -1).transpose(0, 2, 1, 3).reshape(len(x), channels, -1)
        return lines[..., : x.shape[-1]].reshape(x.shape)

    def export(self) -> Exported:
        """The network with its error as a graph, the sequences with numpy alone."""
        patch = -1 if self.params.patch is None else self.params.patch
        graph = onnx_graph(self._fitted(), partial(_rebuilt, self._net), self._centre.shape)
        return Exported({**self._statistics(), "patch": np.array(patch)}, network_scores.sequences_score, graph)

    def _build(self) -> AutoEncoder:
        return AutoEncoder(self._centre.shape[1], self.params.hidden, self.params.code).to(self.ctx.device)

    def _statistics(self) -> State:
        return {"centre": self._centre, "scale": np.array(self._scale)}

    def _load_statistics(self, state: State) -> None:
        self._centre, self._scale = state["centre"], float(state["scale"])

    def _sequences(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, steps, values), the last patch zero-padded."""
        if self.params.patch == 0:
            if x.ndim != 3:
                raise NotApplicableError(
                    f"the view has rows of shape {x.shape[1:]}; a sequence (steps, values) or a patch is needed"
                )
            return x
        wide = x.reshape(len(x), -1, x.shape[-1])
        n, channels, samples = wide.shape
        patch = self.params.patch or max(PATCH, -(-samples // USUAL_STEPS))
        if samples < 2 * patch:
            raise NotApplicableError(f"{samples} samples hold fewer than two patches of {patch}")
        steps = -(-samples // patch)
        filled = np.pad(wide, ((0, 0), (0, 0), (0, steps * patch - samples)))
        cut = filled.reshape(n, channels, steps, patch)
        return cut.transpose(0, 2, 1, 3).reshape(n, steps, channels * patch)

    def _standardised(self, sequences: NDArray[np.float32]) -> NDArray[np.float32]:
        if sequences.shape[1:] != self._centre.shape:
            raise ValueError(f"sequences of shape {sequences.shape[1:]}, but those of the fit had {self._centre.shape}")
        out = np.empty(sequences.shape, np.float32)
        for i in range(0, len(sequences), BLOCK):
            block = sequences[i : i + BLOCK].astype(np.float64)
            out[i : i + BLOCK] = np.clip((block - self._centre) / self._scale, -LIMIT, LIMIT)
        return out

    def _errors(self, net: AutoEncoder, z: NDArray[np.float32]) -> NDArray[np.float64]:
        return scored(net, z, partial(_rebuilt, net), lambda part: as_tensor(part, self.ctx.device))

    def _held_out_loss(
        self, net: AutoEncoder, z: NDArray[np.float32], faulty: NDArray[np.float32] | None
    ) -> tuple[float, float]:
        """By which training stops, and its standard error where there is one: the median error of held-out rows z, or how badly
        they are told from examples of faults made from them.
        """
        error = self._errors(net, z)
        return (float(np.median(error)), 0.0) if faulty is None else overlap(error, self._errors(net, faulty))

    def _diagnose(
        self, net: AutoEncoder, z: NDArray[np.float32], rows: NDArray[np.intp], holdout: NDArray[np.intp]
    ) -> dict[str, float]:
        """On the held-out rows ``gain``: share of the error explained; ``pca_explained``: the same by a PCA."""
        gain = explained(self._errors(net, z[holdout]), root_mean_square(z[holdout]))
        found = {"gain": gain, "pca_explained": pca_explained(lambda part: part, z, rows, holdout, root_mean_square)}
        sound = gain > 0 and explains_enough(gain, found["pca_explained"]) and self.params.epochs
        return found | {"failed": float(not sound)}


def _rebuilt(net: AutoEncoder, part: Tensor) -> Tensor:
    """Root mean squared error of sequences (b,)."""
    return torch.sqrt(torch.mean((net(part) - part) ** 2, dim=(1, 2)))


def _standard(sequences: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Median of each value, and one scale, so that steps which hardly vary do not outweigh the others: the median over the
    rows of their root mean square about it.
    """
    centre = medians(sequences)
    return centre, float(np.sqrt(np.median(mean_squares(sequences, centre, (1, 2)))))


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``lstm_ae``."""
    register(LstmAe)
