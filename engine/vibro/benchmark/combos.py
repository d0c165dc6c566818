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
        stated = self.settings.get("weights")
        if not isinstance(stated, Mapping) or not stated:
            return self.params
        return replace(self.params, weights={name: w for name, w in stated.items() if name in names})


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
    elif how.isdigit() and int(how) > 0:
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
    ctx = ctx.child(f"fuser:{spec.name}")
    fitting = _Fitting(spec, ctx, reference, y)
    bend = _bend(fitting.fuser(sets[-1]), len(sets[-1])) if sets else None
    for start in range(0, len(sets), BLOCK):
        part = sets[start : start + BLOCK]
        fused, held = np.empty((len(part), len(z))), np.empty((len(part), len(reference)))
        weights = np.zeros((len(part), z.shape[1]))
        linear = np.zeros(len(part), np.bool_)
        for i, members in enumerate(part):
            columns = list(members)
            fuser = fitting.fuser(members)
            w = fuser.weights() if bend else None
            if w is not None:
                weights[i, columns], linear[i] = w, True
                continue
            for source, out in ((z, fused), (reference, held)):
                cells = source[:, columns]
                out[i] = fuser.fuse(cells, np.isfinite(cells))
        if bend and linear.any():
            for source, out in ((z, fused), (reference, held)):
                out[linear] = bend.back(weighted_means(bend.to(source), weights[linear]))
        yield start, fused, held


@dataclass(frozen=True)
class Bend:
    """A quasi-arithmetic mean is back(sum w to(z)): the plain mean, or one on a bent scale."""

    to: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


BENDS = (Bend(np.asarray, np.asarray), Bend(np.arcsinh, np.sinh))


def _bend(fuser: Fuser, d: int) -> Bend | None:
    """The scale on which the fuser of d columns is the weighted mean of its weights, tried over the whole range of z."""
    w = fuser.weights()
    if w is None:
        return None
    z = np.random.default_rng(0).uniform(-5, 30, (32, d))
    fused = fuser.fuse(z, np.isfinite(z))
    return next((b for b in BENDS if np.allclose(fused, b.back(b.to(z) @ w / w.sum()))), None)


@runtime_checkable
class Pairwise(Protocol):
    """A fuser whose fit is ``settle(study(z))``, where the study of fewer columns is a part of that of all.

    The study holds arrays (d, ...) of single columns and (d, d) of pairs, so it is made once for all subsets.
    """

    def study(self, z: Floats) -> Mapping[str, NDArray[Any]]:
        """What the columns of z (n, d) say one by one and two by two."""
        ...

    def settle(self, study: Mapping[str, NDArray[Any]]) -> None:
        """Fits from a study."""
        ...


@dataclass(frozen=True)
class _Fitting:
    """Makes and fits the fuser of any set of columns, as the engine does it, but checks its settings only once."""

    spec: FuserSpec
    ctx: Context
    z: Floats
    y: NDArray[np.int16] | None

    @cached_property
    def study(self) -> Mapping[str, NDArray[Any]] | None:
        fuser = self.spec.cls(self.spec.params, self.ctx)
        return fuser.study(self.z) if isinstance(fuser, Pairwise) else None

    def fuser(self, members: Subset) -> Fuser:
        names, columns = tuple(self.ctx.names[j] for j in members), list(members)
        fuser = self.spec.cls(self.spec.params_for(names), replace(self.ctx, names=names))
        if self.study is None:
            fuser.fit(self.z[:, columns], self.y if fuser.needs_labels else None)
        else:
            assert isinstance(fuser, Pairwise)
            pairs = np.ix_(columns, columns)
            fuser.settle({key: a[pairs] if a.ndim == 2 else a[columns] for key, a in self.study.items()})
        return fuser


def weighted_means(z: Floats, weights: Floats) -> Floats:
    """(m, n) means of the finite cells of z (n, d) by the rows of ``weights`` (m, d); NaN where no such cell has weight."""
    ok = np.isfinite(z)
    if ok.all():
        return np.asarray(weights @ z.T / weights.sum(axis=1, keepdims=True))
    used = weights @ ok.T.astype(np.float64)
    total = weights @ np.where(ok, z, 0.0).T
    means: Floats = np.divide(total, used, out=np.full(total.shape, np.nan), where=used > 0)
    return means
