"""The frame of a detector that trains a network: its split of the rows, its epochs, its state and its health."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

from vibro.api import Context, Detector, NotFittedError, StandAside, State
from vibro_plugins._epochs import Epochs, key_of
from vibro_plugins._tabular import leading_axes
from vibro_plugins._torch import arrays, load_arrays, seeded

LEAST_ROWS = 20
LEAST_GROUPS, MOST_GROUP = 3, 15  # groups held out, and what share of the rows none may exceed, one in so many
AXES, SAMPLE = 4, 256  # principal axes that a network is measured against, and rows that they are found on
BLOCK, PLACES = 64, 4096  # rows, and places of a row, read at a time
MOST_SAMPLES = 1 << 20  # of a window
LEAST_SHARE, SLACK = 0.25, 0.02  # of what they explain a network must explain, less this
# The vector that suits any record: the Zerone values in units of each sensor's own spread, without what load explains.
LINES: dict[str, Any] = {"use": "conditioned", "of": {"use": "per_sensor", "of": "zerone"}}


class Network(Detector):
    """A detector around one network; a subclass says how it is built, trained and read.

    ``fit`` ends with ``_settle``. Reference scores come from rows held out of one training, not from several trainings.
    """

    requires: ClassVar[tuple[str, ...]] = ("torch",)
    exclusive = True
    cross_fit = False
    min_rows = 120  # of fewer a tenth held out says nothing, and the classical detectors do better

    _net: Any = None
    _fit_health: dict[str, float]

    @abstractmethod
    def _build(self) -> nn.Module:
        """The network before its first step, on the device; its size follows from what ``_recall`` restores."""

    @abstractmethod
    def _learned(self) -> State:
        """What was learned beside the weights: standardisation and frozen statistics."""

    @abstractmethod
    def _recall(self, state: State) -> None:
        """Restores what ``_learned`` gave."""

    def health(self) -> Mapping[str, float]:
        """What the checks found at fit; ``failed`` 1 for a network that has not learned."""
        self._fitted()
        return self._fit_health

    def state(self) -> State:
        """Weights, standardisation and statistics, health."""
        health = {f"health.{name}": np.array(value) for name, value in self.health().items()}
        return {**arrays(self._fitted()), **self._learned(), **health}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._recall(state)
        with seeded(self.ctx):
            net = self._build()
        load_arrays(net, state)
        self._settle(net, {name[7:]: float(value) for name, value in state.items() if name.startswith("health.")})

    def _settle(self, net: nn.Module, health: Mapping[str, float]) -> None:
        """From here on the detector is fitted; a number that is none becomes -1."""
        self._fit_health = {key: float(np.nan_to_num(v, nan=-1, posinf=-1, neginf=-1)) for key, v in health.items()}
        self._net = net

    def _fitted(self) -> Any:
        if self._net is None:
            raise NotFittedError(f"{self.name} is not fitted")
        return self._net

    def _epochs(
        self,
        x: NDArray[Any],
        total: int,
        optimizer: Optimizer,
        floor: float | None,
        labels: NDArray[Any] | None = None,
        **how: Any,
    ) -> Epochs:
        """``total`` epochs over rows x with ``labels``, if it learns from such; ``floor`` and ``how`` as in ``Epochs``."""
        return Epochs(self.ctx, total, key_of(self.name, self.params, self.ctx, x, labels), optimizer, floor, **how)


def refuse(x: NDArray[Any]) -> None:
    """StandAside where rows x (n, *item) are few, or one of their values is not finite: nothing would be learned, unseen."""
    if len(x) < LEAST_ROWS:
        raise StandAside(f"{len(x)} fit rows are too few to train on; {LEAST_ROWS} are needed")
    wrong = sum(int(np.count_nonzero(~np.isfinite(x[i : i + BLOCK]))) for i in range(0, len(x), BLOCK))
    if wrong:
        raise StandAside(f"the view holds {wrong} values that are not finite")


def split(n: int, ctx: Context, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A tenth of n rows that is held out, and the others, both in random order.

    A group of ``ctx.groups`` stays together, for its rows are more alike than those of the next recording will be: random
    groups are held out until they are three, of which a faulty one decides nothing, and make a tenth. Single rows are held
    out where no groups are known, or where one is more than a fifteenth of all: it could not be spared, and the others alone
    might be the faults.
    """
    order = rng.permutation(n)
    if ctx.groups is not None:
        mine = ctx.groups[order]
        names, first, size = np.unique(mine, return_index=True, return_counts=True)
        if MOST_GROUP * size.max() <= n:
            turn = np.argsort(first)
            count = max(LEAST_GROUPS, int(np.searchsorted(np.cumsum(size[turn]), n // 10)) + 1)
            held = np.isin(mine, names[turn[:count]])
            return order[held], order[~held]
    return order[: n // 10], order[n // 10 :]


def heard(scale: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scales of channels; one that is silent at fit has a twentieth of their mean, to be heard when it no longer is."""
    return np.where(scale > 1e-6 * scale.max(), scale, 0.05 * scale.mean()).astype(np.float32)


def medians(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median over the rows of x (n, *item) at each place, a few places at a time, since a median copies what it is taken of."""
    flat = x.reshape(len(x), -1)
    parts = [np.median(flat[:, i : i + PLACES], axis=0) for i in range(0, flat.shape[1], PLACES)]
    return np.concatenate(parts).reshape(x.shape[1:]).astype(np.float32)


def mean_squares(x: NDArray[np.float32], centre: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean of (x - centre)^2 over these axes of the rows x (n, *item), in float64 a block of rows at a time."""
    blocks = ((x[i : i + BLOCK] - centre).astype(np.float64) for i in range(0, len(x), BLOCK))
    return np.concatenate([np.mean(block**2, axis=axes) for block in blocks])


def cut(lines: NDArray[np.float32], length: int, hop: int) -> NDArray[np.float32]:
    """(n, channels, samples) -> (n * windows, channels, length), the windows of a record in turn.

    One begins every ``hop`` samples, and where the last of them ends before the record does, one more ends with it.
    """
    channels, samples = lines.shape[1:]
    if length == samples:
        return lines
    starts = [*range(0, samples - length, hop), samples - length]
    return np.stack([lines[:, :, i : i + length] for i in starts], axis=1).reshape(-1, channels, length)


def windows_of(records: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Places of the ``count`` windows of each of these records, where the windows of a record follow each other."""
    return (records[:, None] * count + np.arange(count)).reshape(-1)


def explained(error: NDArray[np.float64], usual: NDArray[np.float64]) -> float:
    """Share of the ``usual`` error (n,), that of the median row, which a model does away with; medians over rows."""
    return float(1 - np.median(error) / max(np.median(usual), 1e-12))


def linear(
    standardised: Callable[[NDArray[Any]], NDArray[Any]],
    x: NDArray[Any],
    rows: NDArray[np.intp],
    held: NDArray[np.intp],
    error: Callable[[NDArray[Any]], NDArray[np.float64]],
) -> float:
    """What four principal axes of ``rows`` of x explain of the error of those ``held`` out: is there anything to learn?

    ``error`` of what is left, (n, values) -> (n,). Of a view from which load and sensor have been taken out, which is noise
    about zero, nothing is explained by anybody.
    """
    z, y = (
        np.concatenate([standardised(x[few[i : i + BLOCK]]) for i in range(0, min(len(few), SAMPLE), BLOCK)])
        for few in (rows, held)
    )
    z, y = z.reshape(len(z), -1), y.reshape(len(y), -1)
    axes = leading_axes(z, min(AXES, *np.subtract(z.shape, 1)), 0)
    return explained(error(y - y @ axes @ axes.T), error(y))


def enough(gain: float, by_axes: float) -> bool:
    """Whether a network explains a quarter of what principal axes do; or next to nothing where they do not either.

    That it learned this, another figure must say: an untrained one may explain next to nothing too.
    """
    return gain > LEAST_SHARE * max(by_axes, 0.0) - SLACK
