"""``student``: a small network that learns what simple detectors together say of the fit rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from vibro import hookimpl
from vibro.api import Detector, Exported, Params, State
from vibro_plugins.deep.detector import Network, split
from vibro_plugins.deep.encoder import CHANNELS, Departures
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.training import as_tensor, scored, seeded, step
from vibro_plugins.dsp.profile import PLACES, VALUES
from vibro_plugins.portable import network_scores
from vibro_plugins.stats.columns import evenly_spaced, in_blocks, one_thread
from vibro_plugins.stats.neighbours import NearestDistance

SUSPICIOUS = 0.12  # share of the rows, the farthest from the bulk, that others are not compared with
NEAREST = 3  # rows whose mean distance counts
MOST_ROWS = 4_096  # that are taught
TOP = 0.1  # share of the rows, the highest
DRAWN = (64, 32, 32)  # rows of a step: of all, of the highest, of copies
DECAY, DROPOUT = 0.1, 0.3
LARGEST = 5  # values whose mean size is among the statistics
LEAST_LEARNED = 0.3  # rank correlation with the teacher on rows that were held out, and on copies of them

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StudentParams(Params):
    """Settings of ``student``.

    ``hidden``: units of the two hidden layers
    ``steps``: of the optimiser
    ``lr``: the largest learning rate of the cycle
    """

    hidden: tuple[Annotated[int, Field(ge=2, le=1024)], Annotated[int, Field(ge=2, le=1024)]] = (96, 32)
    steps: Annotated[int, Field(ge=0, le=100_000)] = 200
    lr: Annotated[float, Field(gt=0, le=1)] = 3e-3


class Net(nn.Module):
    """Departures (b, C, 3, 140) -> (b,): a perceptron of their asinh, its size, and statistics of each of the six lines.

    The perceptron's layers are normalised, so that its answer is bounded; a sum of the mean sizes with positive weights is
    added, so that what lies beyond all that was taught scores higher, not anyhow.
    """

    def __init__(self, channels: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        lines, others = 2 * CHANNELS, CHANNELS * (VALUES - 2 * PLACES)
        given = channels * (lines * (2 * PLACES + 5) + others)
        first, second = hidden
        self.layers = nn.Sequential(
            *(nn.Linear(given, first), nn.LayerNorm(first), nn.GELU(), nn.Dropout(DROPOUT)),
            *(nn.Linear(first, second), nn.LayerNorm(second), nn.GELU(), nn.Dropout(DROPOUT)),
            nn.Linear(second, 1),
        )
        self.weight = nn.Parameter(torch.zeros(channels * lines))

    def forward(self, x: Tensor) -> Tensor:
        """(b, C, 3, 140) -> (b,)."""
        z = torch.asinh(x)
        lines, others = z[..., : 2 * PLACES].reshape(len(z), -1, PLACES), z[..., 2 * PLACES :].flatten(1)
        size = lines.abs()
        mean = size.mean(2)
        told = [lines.mean(2), lines.amax(2), lines.amin(2), mean, size.topk(LARGEST, dim=2).values.mean(2)]
        answer = self.layers(torch.cat([lines.flatten(1), size.flatten(1), others, *told], 1))[:, 0]
        return answer + (mean * F.softplus(self.weight)).sum(1)


class Student(Network):
    """What a perceptron predicts of the mean of three simple detectors that are fitted within its own fit: a teacher distilled
    (Hinton, Vinyals and Dean, arXiv 1503.02531).

    The teacher is the mean of Mahalanobis distance, kNN, and kNN on what the nearest records leave unexplained, each in units
    of its own spread and of a fit row as if that had been left out. Of other members of the ensemble it sees nothing. Like any
    detector it is fitted once more for each fold, teacher and all: a row is scored by a student that has seen neither the row
    nor what the teacher says of it. It is also taught what the teacher says of disturbed copies, without which a fit of sound
    records would have nothing to teach.

    What it adds is a smooth function of all statistics where the teacher's members each see some; what the teacher gets
    wrong, it repeats. It sees a profile in units of its sensor's scale, the same whitened, and what the nearest records leave
    unexplained. A tenth of the rows is held out: where their ranking is not the teacher's, it says that it has failed.
    """

    name = "student"
    summary = "small network taught by the mean of three simple detectors of its own"
    Params = StudentParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "profile"}
    item = str(VALUES)  # for each channel
    cross_fit = True
    robust = True
    min_rows = 240  # a fit without a fifth of 300 records; with fewer it follows the teacher's noise
    seconds = 8.0
    test_settings: ClassVar[dict[str, Any]] = {"hidden": (32, 8), "steps": 150}

    _seen: Departures

    @classmethod
    def wants_copies(cls, params: Any) -> bool:
        """It is taught what its teacher says of them."""
        return True

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from profiles (n, C * 140); NotApplicableError for other rows or too few."""
        p, rng = self.params, self.ctx.rng()
        seen = Departures.fit(x)
        taught = evenly_spaced(len(x), MOST_ROWS)
        shown, copies = seen.apply(x[taught]), self.ctx.disturbed
        if copies is not None:
            shown = np.concatenate([shown, seen.shown(copies.x, copies.row)])
        target = teacher(shown, len(taught))
        groups = None if self.ctx.groups is None else self.ctx.groups[taught]
        holdout, rows = split(len(taught), replace(self.ctx, groups=groups), rng)
        judged, third = holdout, rows
        if copies is not None:
            out = np.isin(copies.row, taught[holdout])  # with their rows
            judged, third = np.r_[holdout, len(taught) + np.flatnonzero(out)], len(taught) + np.flatnonzero(~out)
        top = rows[np.argsort(target[rows])[-max(1, int(TOP * len(rows))) :]]
        sources = rows, top, third if len(third) else rows
        self._seen = seen
        with seeded(self.ctx):
            net = self._build()
            net.train()
            optimizer = torch.optim.AdamW(net.parameters(), p.lr, weight_decay=DECAY)
            cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, p.lr, total_steps=max(2, p.steps))
            for turn in range(p.steps):
                part = np.concatenate([rng.choice(source, n) for source, n in zip(sources, DRAWN, strict=True)])
                wanted = as_tensor(target[part], self.ctx.device)
                step(optimizer, F.smooth_l1_loss(net(as_tensor(shown[part], self.ctx.device)), wanted), clip=1.0)
                cycle.step()
                self.ctx.progress(turn + 1, p.steps)
            net.requires_grad_(False).eval()
        learned = _rank_correlation(target[judged], self._predicted(net, shown[judged]))
        health = {"learned": learned, "failed": float(learned < LEAST_LEARNED)}
        used = {"rows_used": float(len(taught))} if len(taught) < len(x) else {}
        self._set_fitted(net, health | used)

    def score(self, x: NDArray[np.float32]) -> Floats:
        """(n,)."""
        return self._predicted(self._fitted(), self._seen.apply(x))

    def export(self) -> Exported:
        """The network as a graph, the departures that it reads with numpy alone."""
        net, channels = self._fitted(), self._channels
        graph = onnx_graph(net, lambda x: net(x), (channels, CHANNELS, VALUES))
        return Exported(self._seen.state(), network_scores.departures_score, graph)

    @property
    def _channels(self) -> int:
        return len(self._seen.channels.centre) // VALUES

    def _predicted(self, net: Net, shown: NDArray[np.float32]) -> Floats:
        return scored(net, shown, net, partial(as_tensor, device=self.ctx.device))

    def _build(self) -> Net:
        return Net(self._channels, self.params.hidden).to(self.ctx.device)

    def _statistics(self) -> State:
        return self._seen.state()

    def _load_statistics(self, state: State) -> None:
        self._seen = Departures.load(state)


def teacher(shown: NDArray[np.float32], rows: int) -> Floats:
    """(n,) the mean of three scores of what ``Departures`` shows (n, C, 3, 140) of so many ``rows`` of the fit, and of copies of
    them.

    Each is asinh in units of how far its upper quartile over the rows lies above its median. Distances are to rows whose
    Mahalanobis distance is not suspicious; a row's own is none of them.
    """
    values, white, rest = (shown[:, :, i].reshape(len(shown), -1) for i in range(CHANNELS))
    told = [np.sqrt(np.mean(white.astype(np.float64) ** 2, axis=1))]
    clean = told[0][:rows] <= np.quantile(told[0][:rows], 1 - SUSPICIOUS)
    for part in (values, rest):
        near = NearestDistance(NEAREST, "mean")
        with one_thread():
            near.fit(part[:rows][clean])
        told.append(in_blocks(near.score, part))
    found = np.zeros(len(shown))
    for score in told:
        middle, high = np.quantile(score[:rows], (0.5, 0.75))
        found += np.arcsinh((score - middle) / max(high - middle, 1e-9 * max(1.0, abs(middle))))
    return found / len(told)


def _rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's; -1 where one of them does not vary."""
    ranks = [np.argsort(np.argsort(v)).astype(np.float64) for v in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else -1.0


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``student``."""
    register(Student)
