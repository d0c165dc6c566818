"""Every subset of detectors under every fuser: arithmetic on one matrix of calibrated scores, nothing is fitted again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vibro.api import Fuser, check_settings
from vibro.context import Context
from vibro.errors import ConfigError

Floats = NDArray[np.float64]
Subset = tuple[int, ...]

MOST = 16  # detectors of which all subsets are still taken
BLOCK = 512  # subsets fused at a time


@dataclass(frozen=True)
class FuserSpec:
    """A fuser by name, class and settings."""

    name: str
    cls: type[Fuser]
    settings: Mapping[str, Any]

    @cached_property
    def params(self) -> Any:
        """The checked settings."""
        return check_settings(self.cls.Params, self.settings, f"fuser {self.name}")

    def params_for(self, names: Sequence[str]) -> Any:
        """The same with the stated weights of these detectors only; equal ones where none of them has a weight."""
        stated = getattr(self.params, "weights", None)
        if not isinstance(stated, Mapping) or not stated:
            return self.params
        mine = {name: weight for name, weight in stated.items() if name in names}
        return replace(self.params, weights=mine if any(mine.values()) else {})


def subsets(d: int, how: str) -> list[Subset]:
    """Detector sets by size: ``all``, ``pairs`` (singles and pairs) or up to N members.

    The full set and the sets without one detector are always there, for they say what each detector adds.
    """
    if how == "all":
        if d > MOST:
            raise ConfigError(f"--combinations all of {d} detectors are {2**d - 1} sets", hint="--combinations 3")
        largest = d
    elif how == "pairs":
        largest = 2
    elif how.isdecimal() and int(how) > 0:
        largest = int(how)
    else:
        raise ConfigError(f"--combinations {how!r} is not known", hint="all, pairs, or the largest number of members")
    found = [s for k in range(1, min(largest, d) + 1) for s in combinations(range(d), k)]
    full = tuple(range(d))
    extra = [full, *(full[:i] + full[i + 1 :] for i in full if d > 1)]
    return found + [s for s in dict.fromkeys(extra) if len(s) > largest]


def fuse_subsets(
    spec: FuserSpec,
    ctx: Context,
    z: Floats,
    reference: Floats,
    sets: Sequence[Subset],
    y: NDArray[np.int16] | None = None,
) -> Iterator[tuple[int, Floats, Floats]]:
    """Fused scores of ``z`` (n, d) and of ``reference`` (r, d), both (m, .), for m sets from the yielded index on.

    Each fuser is fitted on the reference columns of its set, with labels ``y`` (r,) where it learns from them.
    ``ctx.names`` holds the detector ids.
    """
    if not sets:
        return
    fitting = _Fitting(spec, ctx.child(f"fuser:{spec.name}"), reference, y)
    whole = tuple(sorted(set().union(*sets)))
    fuser = fitting.fuser(whole)
    ordinal = fuser if isinstance(fuser, Ordinal) and speaks_for(spec.cls, "fuse_ordered", "fit", "fuse") else None
    reach = np.ones(z.shape[1])
    if isinstance(fuser, Scaled) and speaks_for(spec.cls, "reach", "fit", "fuse"):
        reach[list(whole)] = fuser.reach()
    bend = None if ordinal else _bend(fuser, reach[list(whole)])
    for start in range(0, len(sets), BLOCK):
        part = sets[start : start + BLOCK]
        fused, held = np.empty((len(part), len(z))), np.empty((len(part), len(reference)))
        sources = (z, fused), (reference, held)
        left: NDArray[np.intp] = np.arange(len(part))
        if ordinal:
            left = left[:0]
            for source, out in sources:
                for i, (ordered, count) in enumerate(in_order(source, part)):
                    out[i] = ordinal.fuse_ordered(ordered, count)
        elif bend:
            weights = fitting.weights(part)
            left = np.flatnonzero(np.isnan(weights).any(axis=1))
            for source, out in sources:
                out[:] = bend.back(weighted_means(bend.to(source / reach), weights))
        for row in left:
            fuser = fitting.fuser(part[row])
            for source, out in sources:
                cells = source[:, part[row]]
                out[row] = fuser.fuse(cells)
        yield start, fused, held


@dataclass(frozen=True)
class Bend:
    """A quasi-arithmetic mean is back(sum w to(z)): the plain mean, or one on a bent scale."""

    to: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


BENDS = (Bend(np.asarray, np.asarray), Bend(np.arcsinh, np.sinh))


def _bend(fuser: Fuser, reach: Floats) -> Bend | None:
    """The scale on which the fuser is the weighted mean, by its weights, of the columns over their ``reach`` (d,).

    Tried over the whole range of z.

    None where no scale fits, and where several do: a mean with one member of weight is the same on every scale.
    """
    weights = fuser.weights()
    if weights is None:
        return None
    z = np.random.default_rng(0).uniform(-5, 30, (32, len(reach)))
    z[np.arange(8), np.arange(8) % len(reach)] = np.nan
    fused = fuser.fuse(z)
    means = (b.back(weighted_means(b.to(z / reach), weights[None])[0]) for b in BENDS)
    found = [b for b, mean in zip(BENDS, means, strict=True) if np.allclose(fused, mean, equal_nan=True)]
    return found[0] if len(found) == 1 else None


def speaks_for(cls: type, quick: str, *plain: str) -> bool:
    """Whether the method ``quick`` still does what the ``plain`` ones do: none of them is overridden below its class."""
    for base in cls.__mro__:
        if quick in vars(base):
            return True
        if not vars(base).keys().isdisjoint(plain):
            return False
    return False


@runtime_checkable
class Pairwise(Protocol):
    """A fuser whose weights follow from what the columns of the reference say one by one and two by two.

    The study holds arrays (d, ...) of single columns and (d, d) of pairs, so one study of all columns serves every set.
    """

    def study(self, z: Floats) -> Mapping[str, NDArray[Any]]:
        """What the columns of z (n, d) say."""
        ...

    def weigh_sets(self, study: Mapping[str, NDArray[Any]], members: NDArray[np.bool_]) -> Floats:
        """Weights (m, d) of m sets of members (m, d), those that ``fit`` finds for the columns of each set; 0 elsewhere."""
        ...


@runtime_checkable
class Scaled(Protocol):
    """A fuser that divides each column by a number of its own first."""

    def reach(self) -> Floats:
        """(d,) those numbers, each the same whichever columns stand beside it."""
        ...


@runtime_checkable
class Ordinal(Protocol):
    """A fuser that learns nothing and sees the usable cells of a record in ascending order, not whose they are.

    So each set of columns takes one insertion into the order of the set without its last column.
    """

    def fuse_ordered(self, ordered: Floats, count: NDArray[np.intp]) -> Floats:
        """Fused scores (n,) from cells (d, n) in ascending order, of which the first ``count`` (n,) are usable."""
        ...


@dataclass(frozen=True)
class _Fitting:
    """Makes and fits the fuser of any set of columns, as the engine does it, but checks its settings only once."""

    spec: FuserSpec
    ctx: Context
    z: Floats
    y: NDArray[np.int16] | None

    def fuser(self, members: Subset) -> Fuser:
        names = tuple(self.ctx.names[j] for j in members)
        fuser = self.spec.cls(self.spec.params_for(names), replace(self.ctx, names=names))
        fuser.fit(self.z[:, members], self.y if fuser.needs_labels else None)
        return fuser

    def weights(self, sets: Sequence[Subset]) -> Floats:
        """(m, d) weights of the fuser of each set, NaN where it does not tell them."""
        if self._pairs is not None:
            fuser, study = self._pairs
            return fuser.weigh_sets(
                study, np.array([[j in columns for j in range(self.z.shape[1])] for columns in sets])
            )
        found = np.zeros((len(sets), self.z.shape[1]))
        for row, columns in zip(found, sets, strict=True):
            row[list(columns)] = self.fuser(columns).weights()
        return found

    @cached_property
    def _pairs(self) -> tuple[Pairwise, Mapping[str, NDArray[Any]]] | None:
        fuser = self.spec.cls(self.spec.params, self.ctx)
        if isinstance(fuser, Pairwise) and speaks_for(self.spec.cls, "weigh_sets", "fit", "weights"):
            return fuser, fuser.study(self.z)
        return None


def in_order(z: Floats, sets: Sequence[Subset]) -> Iterator[tuple[Floats, NDArray[np.intp]]]:
    """For each set of columns of z (n, d) its finite cells in ascending order (k, n), others last as inf, and their number.

    What is given holds until the next set. Neighbours that begin alike share the work.
    """
    n, d = z.shape
    usable = np.isfinite(z).T.copy()
    columns = np.where(usable, z.T, np.inf)
    ordered = [np.empty((k, n)) for k in range(d + 1)]  # of the first k members of the set at hand
    count = np.zeros((d + 1, n), np.intp)
    path: Subset = ()
    for members in sets:
        alike = next((k for k, (i, j) in enumerate(zip(path, members, strict=False)) if i != j), len(path))
        for k, j in list(enumerate(members))[alike:]:
            fewer, more = ordered[k], ordered[k + 1]
            np.minimum(fewer, columns[j], out=more[:k])
            more[k] = columns[j]
            np.maximum(more[1:], fewer, out=more[1:])
            np.add(count[k], usable[j], out=count[k + 1])
        path = members
        yield ordered[len(members)], count[len(members)]


def weighted_means(z: Floats, weights: Floats) -> Floats:
    """(m, n) means of the finite cells of z (n, d) by the rows of ``weights`` (m, d); NaN where no such cell has weight."""
    ok = np.isfinite(z)
    if ok.all():
        return np.asarray((weights / weights.sum(axis=1, keepdims=True)) @ z.T)
    used = weights @ ok.T.astype(np.float64)
    total = weights @ np.where(ok, z, 0.0).T
    means: Floats = np.divide(total, used, out=np.full(total.shape, np.nan), where=used > 0)
    return means
