"""Groups of like sensors, found by their median spectra where nobody has told them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 8  # machines that a group spans: what sets a few of them apart may be chance, or a fault of theirs
COVERED = 0.9  # of the sensors that the groups must hold together
APART = 8.0  # deviations between any two groups; parts of one that is none lie 3 to 6 apart
PARTS = 12  # at most that the sensors are parted into, those of a few odd sensors included
MOST = 2_000  # sensors that are compared with each other; more are put to the nearest part

Floats = NDArray[np.float64]


def find_groups(levels: Floats, machine: NDArray[np.signedinteger[Any]]) -> NDArray[np.int32] | None:
    """Group (S,) of each sensor, -1 = none, by ``levels`` (S, k) of its bands, logarithms of their power, and its machine (S,).

    None without clear groups.

    The sensors are parted into two to ``PARTS`` by Ward's method (J. Am. Stat. Assoc. 58, 1963). Groups are the parts of
    ``LEAST`` machines or more, of the division with most such parts in which they hold ``COVERED`` of the sensors and any
    two lie ``APART`` or farther from each other (``_apart``).
    """
    from scipy.cluster.hierarchy import fcluster, ward

    if len(levels) < 2 * LEAST:
        return None
    some = levels[np.linspace(0, len(levels) - 1, min(MOST, len(levels))).astype(np.intp)]
    tree = ward(some)
    found: list[NDArray[np.intp]] = []
    for parts in range(2, PARTS + 1):
        of = fcluster(tree, parts, "maxclust")
        means = np.stack([some[of == part].mean(axis=0) for part in np.unique(of)])
        nearest = np.argmin([((levels - mean) ** 2).sum(axis=1) for mean in means], axis=0)
        members = [np.flatnonzero(nearest == part) for part in range(len(means))]
        groups = [mine for mine in members if len(np.unique(machine[mine])) >= LEAST]
        if len(groups) <= max(1, len(found)) or sum(map(len, groups)) < COVERED * len(levels):
            continue
        pairs = ((levels[a], machine[a], levels[b], machine[b]) for a, b in combinations(groups, 2))
        if all(_apart(*pair) >= APART for pair in pairs):
            found = groups
    group = np.full(len(levels), -1, np.int32)
    for i, mine in enumerate(sorted(found, key=lambda m: int(m[0]))):
        group[mine] = i
    return group if found else None


def _apart(a: Floats, of_a: NDArray[Any], b: Floats, of_b: NDArray[Any]) -> float:
    """Distance of sensors a (m, k) of machines (m,) from b (n, k) over the root mean square of their two deviations along it.

    Ashman, Bird and Zepf, Astron. J. 108, 1994. Each machine's sensors are measured on a line that they have no part in: few
    machines in many bands always lie apart on a line through their own means.
    """
    there, back = _along(a, of_a, b.mean(axis=0)), _along(b, of_b, a.mean(axis=0))
    spread = np.sqrt((there.var(ddof=1) + back.var(ddof=1)) / 2)
    return float((there.mean() + back.mean()) / 2 / max(spread, np.finfo(np.float64).tiny))


def _along(x: Floats, machine: NDArray[Any], origin: Floats) -> Floats:
    """(m,) places of sensors x (m, k) on the line from the origin (k,) to the mean of those of the other machines."""
    _, of, count = np.unique(machine, return_inverse=True, return_counts=True)
    total = np.zeros((len(count), x.shape[1]))
    np.add.at(total, of, x)
    line = (x.sum(axis=0) - total) / (len(x) - count)[:, None] - origin
    line /= np.maximum(np.linalg.norm(line, axis=1), np.finfo(np.float64).tiny)[:, None]
    return np.asarray(np.einsum("mk,mk->m", x - origin, line[of]))
