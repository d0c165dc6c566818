"""Every subset of detectors under every fuser: arithmetic on one matrix of calibrated scores, nothing is fitted again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

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
    rule = bool(sets) and is_linear(_fitted(spec, ctx, reference[:, list(sets[-1])], sets[-1], y), len(sets[-1]))
    for start in range(0, len(sets), BLOCK):
        part = sets[start : start + BLOCK]
        fused, held = np.empty((len(part), len(z))), np.empty((len(part), len(reference)))
        weights = np.zeros((len(part), z.shape[1]))
        linear = np.zeros(len(part), np.bool_)
        for i, members in enumerate(part):
            columns = list(members)
            fuser = _fitted(spec, ctx, reference[:, columns], members, y)
            w = fuser.weights() if rule else None
            if w is not None:
                weights[i, columns], linear[i] = w, True
                continue
            for source, out in ((z, fused), (reference, held)):
                cells = source[:, columns]
                out[i] = fuser.fuse(cells, np.isfinite(cells))
        if linear.any():
            fused[linear] = weighted_means(z, weights[linear])
            held[linear] = weighted_means(reference, weights[linear])
        yield start, fused, held


def is_linear(fuser: Fuser, d: int) -> bool:
    """Whether the fuser of d columns is the weighted mean of its weights, tried on cells over the whole range of z."""
    w = fuser.weights()
    if w is None:
        return False
    z = np.random.default_rng(0).uniform(-5, 30, (32, d))
    return bool(np.allclose(fuser.fuse(z, np.isfinite(z)), z @ w / w.sum()))


def _fitted(spec: FuserSpec, ctx: Context, z: Floats, members: Subset, y: NDArray[np.int16] | None) -> Fuser:
    """A fuser made and fitted as the engine does it, but for the check of its settings, which are those of the spec."""
    names = tuple(ctx.names[j] for j in members)
    fuser = spec.cls(spec.params_for(names), replace(ctx, names=names))
    fuser.fit(z, y if fuser.needs_labels else None)
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
