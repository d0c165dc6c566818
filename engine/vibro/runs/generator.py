"""Records of a rare class from a generator: an encoder and a decoder, and how the codes of the class are spread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Detector, NotApplicableError, State, view_key, without_use
from vibro.context import Context
from vibro.core.view_graph import inputs_of
from vibro.data import SignalBatch
from vibro.host.manager import PluginHost
from vibro.injection.variants import FILL, INSIDE, MOST_OF_ROW
from vibro.runs.student import Recipe, Rows, read_rows

EXPLAINED = 0.9  # share of the variance that the linear decoder keeps
BORROWED = 5.0  # labels as which the spread of all faults counts beside that of a class
COMPARED = 8  # records by which it is seen that a row begins with a view
REACH = 2.0  # standard deviations beyond the range of its class that a value may lie

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """Principal components of standardised values, the linear auto-encoder (Baldi and Hornik, Neural Networks 1989)."""

    scale: Floats  # (f,) 0 where a value does not vary
    axes: Floats  # (k, f)

    @classmethod
    def fit(cls, x: Floats) -> Linear:
        """As many components of (n, f) as explain EXPLAINED of its variance."""
        centred = x - x.mean(axis=0)
        scale = centred.std(axis=0)
        scale[scale <= 1e-6 * np.abs(x).max(axis=0, initial=0.0)] = 0.0
        _, size, axes = np.linalg.svd(_divided(centred, scale), full_matrices=False)
        share = np.cumsum(size**2) / max(float((size**2).sum()), 1e-300)
        return cls(scale, axes[: int(np.searchsorted(share, EXPLAINED)) + 1])

    def encode(self, x: Floats) -> Floats:
        """(n, f) -> (n, k)."""
        return np.asarray(_divided(x, self.scale) @ self.axes.T)

    def decode(self, codes: Floats) -> Floats:
        """(n, k) -> (n, f), but for a constant."""
        return np.asarray(codes @ self.axes * self.scale)


@dataclass(frozen=True)
class Network:
    """A fitted auto-encoder of a run for the first values of a row, an item of ``shape``, and the id that it has there."""

    detector: Detector
    shape: tuple[int, ...]
    ident: str

    @property
    def width(self) -> int:
        """How many values."""
        return math.prod(self.shape)

    def encode(self, flat: Floats) -> Floats:
        """(n, f) -> (n, k)."""
        return self.detector.encode(flat[:, : self.width].astype(np.float32).reshape(-1, *self.shape))

    def decode(self, codes: Floats) -> Floats:
        """(n, k) -> (n, width)."""
        return self.detector.decode(codes).reshape(len(codes), -1)


@dataclass(frozen=True)
class Generator:
    """Makes rows of the classes ``few`` from what a student is taught, anew for each student: of records that are held out it
    sees nothing.

    The codes of a class are Gaussian around their mean, with the covariance of the class, shrunk towards that of all labelled
    faults around the means of their classes (Friedman, JASA 1989, shrinks it so to classify). A row is what the decoder makes
    of a drawn code, and what it leaves unexplained of a labelled record of the class. ``network`` encodes the first values of a
    row, and ``Linear`` the others, but for the last, ``scores`` of detectors, which stay those of that record: they end at a
    limit that no decoder knows. ``labelled`` (n,): records of a known class.
    """

    labelled: NDArray[np.bool_]
    few: Sequence[int]
    network: Network | None = None
    scores: int = 0

    @property
    def _width(self) -> int:
        return self.network.width if self.network else 0

    def more(
        self, ctx: Context, x: NDArray[np.float32], y: NDArray[np.int16], weight: Floats
    ) -> tuple[NDArray[np.float32], NDArray[np.int16], Floats]:
        """Rows with their classes and weights, those of a class together as heavy as its labelled records of positive weight."""
        rows = np.flatnonzero(self.labelled & (weight > 0) & (y >= 0))
        made = {c: self.made(ctx, x[rows], y[rows], c)[0] for c in self.few if (y[rows] == c).sum() >= 2}
        made = {c: part for c, part in made.items() if len(part)}
        if not made:
            return x[:0], y[:0], weight[:0]
        labels = np.concatenate([np.full(len(part), c, np.int16) for c, part in made.items()])
        share = [np.full(len(part), weight[rows][y[rows] == c].sum() / len(part)) for c, part in made.items()]
        return np.concatenate(list(made.values())), labels, np.concatenate(share)

    def made(
        self, ctx: Context, x: NDArray[np.float32], y: NDArray[np.int16], c: int
    ) -> tuple[NDArray[np.float32], int]:
        """Rows of class c, which has two or more of the labelled records x (n, *item) of classes y, that lie in the band of the
        class, and how many did not.

        Views end at limits, which severe faults reach: so no value leaves the range of the labelled records, and one that is
        the same in all records of the class stays. A row lies in the band if INSIDE of its values are within the range of the
        class, REACH standard deviations within classes added on either side.
        """
        rng = np.random.default_rng(ctx.child(f"generated {c}").seed)
        flat = x.reshape(len(x), -1).astype(np.float64)
        flat, scores = np.split(flat, [flat.shape[1] - self.scores], axis=1)
        linear = Linear.fit(flat[:, self._width :])
        codes, own, faults = self._encode(linear, flat), np.flatnonzero(y == c), np.flatnonzero(y > 0)
        apart, spread = _within(codes, y), np.sqrt((_within(flat, y)[faults] ** 2).sum(axis=0) / _free(y[faults]))
        count = min(FILL - len(own), MOST_OF_ROW * len(own))
        borrowed = BORROWED / (BORROWED + len(own))
        drawn = codes[own].mean(axis=0) + sum(
            np.sqrt(share / _free(y[rows])) * rng.normal(size=(count, len(rows))) @ apart[rows]
            for rows, share in ((own, 1 - borrowed), (faults, borrowed))
        )
        base = own[rng.integers(len(own), size=count)]
        found = flat[base] + self._decode(linear, drawn) - self._decode(linear, codes[base])
        low, high = flat[own].min(axis=0), flat[own].max(axis=0)
        found = np.where(low == high, flat[base], np.clip(found, flat.min(axis=0), flat.max(axis=0)))
        low, high = low - REACH * spread, high + REACH * spread
        slack = 1e-6 * np.abs(flat[own]).max(axis=0)  # float32
        inside = ((found >= low - slack) & (found <= high + slack)).mean(axis=1) >= INSIDE
        rows = np.hstack([found, scores[base]])[inside].astype(np.float32)
        return rows.reshape(-1, *x.shape[1:]), int(count - inside.sum())

    def _encode(self, linear: Linear, flat: Floats) -> Floats:
        codes = linear.encode(flat[:, self._width :])
        if self.network is None:
            return codes
        return np.hstack([self.network.encode(flat), codes])

    def _decode(self, linear: Linear, codes: Floats) -> Floats:
        own = codes.shape[1] - len(linear.axes)
        rest = linear.decode(codes[:, own:])
        if self.network is None:
            return rest
        return np.hstack([self.network.decode(codes[:, :own]), rest])


def network_of(
    host: PluginHost,
    recipe: Recipe,
    batch: SignalBatch,
    rows: Rows,
    detectors: Sequence[Mapping[str, Any]],
    states: Mapping[str, State],
    ctx: Context,
    folder: Path,
) -> Network | None:
    """The first fitted auto-encoder of a run that rebuilds what the classifier reads, or the view that this begins with.

    ``rows``: what the classifier reads of ``batch``. ``detectors``: the resolved rows of the ensemble; ``states`` of those that
    a model holds, by id.
    """
    planned = recipe.planned.get(recipe.view)
    views = (recipe.view, *(inputs_of(planned.cls, planned.params) if planned else ()))
    few = np.arange(min(len(batch), COMPARED))
    for row in detectors:
        view = view_key(row["view"])
        if row["id"] not in states or view not in views:
            continue
        cls = host.component("detector", row["use"])
        assert issubclass(cls, Detector)
        settings = {name: value for name, value in without_use(row).items() if name not in ("id", "view")}
        detector = cls.make(settings, ctx)
        detector.load_state(states[row["id"]])
        no_z, read = np.zeros((len(few), 0)), replace(recipe, view=view)
        part = read_rows(host, read, batch.take(few), no_z, ctx, folder, states=rows.states).x
        begins = rows.x[few].reshape(len(few), -1)[:, : part[0].size]
        if begins.shape[1] < part[0].size or not np.allclose(part.reshape(len(few), -1), begins, 1e-4, 1e-4):
            continue
        try:
            detector.encode(part)
        except NotApplicableError:
            continue
        return Network(detector, part.shape[1:], str(row["id"]))
    return None


def _within(values: Floats, y: NDArray[np.int16]) -> Floats:
    """(n, f) without the mean of the class of each row."""
    apart = values.copy()
    for c in np.unique(y):
        apart[y == c] -= values[y == c].mean(axis=0)
    return apart


def _free(y: NDArray[np.int16]) -> int:
    """Degrees of freedom that the means of their classes leave to these rows."""
    return max(1, len(y) - len(np.unique(y)))


def _divided(x: Floats, scale: Floats) -> Floats:
    return np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)
