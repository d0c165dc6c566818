"""Every subset of detectors under every fuser, computed from one matrix of calibrated scores; no detector is refitted."""

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

MOST = 16  # detectors up to which all subsets are formed
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
        """The settings with ``weights`` of these detectors only; without weights, so equal ones, if none has one above 0."""
        stated = getattr(self.params, "weights", None)
        if not isinstance(stated, Mapping) or not stated:
            return self.params
        mine = {name: weight for name, weight in stated.items() if name in names}
        return replace(self.params, weights=mine if any(mine.values()) else {})


def subsets(d: int, strategy: str) -> list[Subset]:
    """Detector sets by size: ``all``, ``pairs`` (singles and pairs) or up to N members.

    The full set and the sets without one detector are always included: they show what each detector adds.
    """
    if strategy == "all":
        if d > MOST:
            raise ConfigError(f"--combinations all of {d} detectors are {2**d - 1} sets", hint="--combinations 3")
        largest = d
    elif strategy == "pairs":
        largest = 2
    elif strategy.isdecimal() and int(strategy) > 0:
        largest = int(strategy)
    else:
        raise ConfigError(
            f"--combinations {strategy!r} is not known", hint="all, pairs, or the largest number of members"
        )
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
    ordinal = fuser if isinstance(fuser, Ordinal) and equivalent(spec.cls, "fuse_ordered", "fit", "fuse") else None
    reach = np.ones(z.shape[1])
    if isinstance(fuser, Scaled) and equivalent(spec.cls, "reach", "fit", "fuse"):
        reach[list(whole)] = fuser.reach()
    transform = None if ordinal else _transform_of(fuser, reach[list(whole)])
    for start in range(0, len(sets), BLOCK):
        part = sets[start : start + BLOCK]
        fused, holdout = np.empty((len(part), len(z))), np.empty((len(part), len(reference)))
        sources = (z, fused), (reference, holdout)
        left: NDArray[np.intp] = np.arange(len(part))
        if ordinal:
            left = left[:0]
            for source, out in sources:
                for i, (ordered, count) in enumerate(in_order(source, part)):
                    out[i] = ordinal.fuse_ordered(ordered, count)
        elif transform:
            weights = fitting.weights(part)
            left = np.flatnonzero(np.isnan(weights).any(axis=1))
            for source, out in sources:
                out[:] = transform.inverse(weighted_means(transform.forward(source / reach), weights))
        for row in left:
            fuser = fitting.fuser(part[row])
            for source, out in sources:
                cells = source[:, part[row]]
                out[row] = fuser.fuse(cells)
        yield start, fused, holdout


@dataclass(frozen=True)
class Transform:
    """Of a quasi-arithmetic mean, inverse(sum of w forward(z)): the identity gives the weighted arithmetic mean."""

    forward: Callable[[Floats], Floats]
    inverse: Callable[[Floats], Floats]


TRANSFORMS = (Transform(np.asarray, np.asarray), Transform(np.arcsinh, np.sinh))


def _transform_of(fuser: Fuser, reach: Floats) -> Transform | None:
    """The transform for which the fuser is the quasi-arithmetic mean of its columns divided by ``reach`` (d,).

    Found by trying each on random z over the whole range. None where none fits, and where both do: with all the weight
    on one column they cannot be told apart.
    """
    weights = fuser.weights()
    if weights is None:
        return None
    z = np.random.default_rng(0).uniform(-5, 30, (32, len(reach)))
    z[np.arange(8), np.arange(8) % len(reach)] = np.nan
    fused = fuser.fuse(z)
    means = (t.inverse(weighted_means(t.forward(z / reach), weights[None])[0]) for t in TRANSFORMS)
    found = [t for t, mean in zip(TRANSFORMS, means, strict=True) if np.allclose(fused, mean, equal_nan=True)]
    return found[0] if len(found) == 1 else None


def equivalent(cls: type, quick: str, *plain: str) -> bool:
    """Whether the method ``quick`` may replace the ``plain`` ones: no subclass of its class overrides one of them."""
    for base in cls.__mro__:
        if quick in vars(base):
            return True
        if not vars(base).keys().isdisjoint(plain):
            return False
    return False


@runtime_checkable
class Pairwise(Protocol):
    """A fuser whose weights depend on statistics of single reference columns and of pairs of columns only.

    The study holds arrays (d, ...) of single columns and (d, d) of pairs, so one study of all columns serves every set.
    """

    def study(self, z: Floats) -> Mapping[str, NDArray[Any]]:
        """The statistics of the columns of z (n, d)."""
        ...

    def weigh_sets(self, study: Mapping[str, NDArray[Any]], members: NDArray[np.bool_]) -> Floats:
        """Weights (m, d) of m sets of members (m, d), those that ``fit`` finds for the columns of each set; 0 elsewhere."""
        ...


@runtime_checkable
class Scaled(Protocol):
    """A fuser that first divides each column by a scale."""

    def reach(self) -> Floats:
        """(d,) scales; that of a column does not depend on the other columns."""
        ...


@runtime_checkable
class Ordinal(Protocol):
    """A fuser that learns nothing and depends only on the sorted scores of a record, not on which detector gave which.

    Then the sorted scores of a set follow from those of the set without its last column by one insertion.
    """

    def fuse_ordered(self, ordered: Floats, count: NDArray[np.intp]) -> Floats:
        """Fused scores (n,) from cells (d, n) in ascending order, of which the first ``count`` (n,) are usable."""
        ...


@dataclass(frozen=True)
class _Fitting:
    """Makes and fits the fuser of any set of columns as the engine does, but checks its settings only once."""

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
        """(m, d) weights of the fuser of each set, NaN where the fuser has none."""
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
        if isinstance(fuser, Pairwise) and equivalent(self.spec.cls, "weigh_sets", "fit", "weights"):
            return fuser, fuser.study(self.z)
        return None


def in_order(z: Floats, sets: Sequence[Subset]) -> Iterator[tuple[Floats, NDArray[np.intp]]]:
    """For each set of columns of z (n, d) its finite cells in ascending order (k, n), others last as inf, and their number.

    The arrays are reused for the next set. Successive sets that begin with the same columns share the work.
    """
    n, d = z.shape
    usable = np.isfinite(z).T.copy()
    columns = np.where(usable, z.T, np.inf)
    ordered = [np.empty((k, n)) for k in range(d + 1)]  # of the first k members of the current set
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
