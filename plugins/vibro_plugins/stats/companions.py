"""Sensors of one machine at the same instants: which measure together, and what the others say about each one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vibro.scoring.regression import robust_scale, sensor_rows
from vibro_plugins.stats.columns import in_blocks, leading_axes, one_thread

SENSORS = 4  # of a group at least
REACH = 5.0  # deviations at which a component is clipped
RIDGE = 5.0  # rows that a coefficient of 0 counts for
PER_COMPONENT = 6  # complete instants that each component needs
LEAST_SCALE = 0.2  # of a residual, in units of its sensor's scale: copies of one sensor predict each other exactly

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Instants:
    """Complete instants of a group of S sensors: ``values`` (K, S, f), a sensor's mean where it measured twice; the ``rows``
    (m,) of their records, with the instant (m,) ``of`` each and the ``place`` (m,) of its sensor in the group.
    ``x`` (m, f) the records' own values.
    """

    values: Floats
    rows: NDArray[np.intp]
    of: NDArray[np.intp]
    place: NDArray[np.intp]
    x: Floats

    @classmethod
    def of_group(
        cls,
        x: NDArray[Any],
        sensor: NDArray[np.intp],
        instant: NDArray[np.intp],
        codes: NDArray[np.intp],
        rows: NDArray[np.intp],
    ) -> Self:
        """From a view (n, f), sensor codes (n,), numbers of instants (n,), -1 = not known, and the rows of these sensors."""
        rows = rows[instant[rows] >= 0]
        place = np.searchsorted(codes, sensor[rows])
        numbers, of = np.unique(instant[rows], return_inverse=True)
        count = np.zeros((len(numbers), len(codes)))
        np.add.at(count, (of, place), 1.0)
        whole = (count > 0).all(axis=1)
        kept = whole[of]
        rows, place, of = rows[kept], place[kept], (np.cumsum(whole) - 1)[of[kept]]
        values, own = np.zeros((int(whole.sum()), len(codes), x.shape[1])), np.asarray(x[rows], np.float64)
        np.add.at(values, (of, place), own)
        return cls(values / count[whole][:, :, None], rows, of, place, own)


@dataclass(frozen=True)
class Group:
    """S sensors that measure together, in units of each sensor's scale, and how each follows from the others.

    ``sensors`` (S,) sorted codes; ``centre`` (S, S f) and ``axes`` (S, S f, q): the principal components of the others, over
    their deviation, with 0 for the sensor's own columns; ``coefficients`` (S, 1 + q, f) of those clipped components;
    ``scale`` (S, f) of the residuals.
    """

    sensors: NDArray[np.intp]
    centre: Floats
    axes: NDArray[np.float32]
    coefficients: Floats
    scale: Floats

    @classmethod
    def fit(cls, at: Instants, codes: NDArray[np.intp], most: int, seed: int) -> tuple[Self, Floats]:
        """From complete instants; also the factor (m,) by which each record's residual grows if it is left out of the fit.

        No instant is left out of the regression: rare states that reach all sensors, such as tap changes, are what it must
        explain, and what happens at one sensor alone the others cannot.
        """
        count, size, f = at.values.shape
        flat = at.values.reshape(count, -1)
        q = max(1, min(most, count // PER_COMPONENT, (size - 1) * f))
        found = cls(
            codes.astype(np.int64),
            np.zeros((size, size * f)),
            np.zeros((size, size * f, q), np.float32),
            np.zeros((size, 1 + q, f)),
            np.ones((size, f)),
        )
        factor = np.ones(len(at.rows))
        with one_thread():
            for s in range(size):
                others = np.repeat(np.arange(size) != s, f)
                axes = np.zeros((size * f, q))
                axes[others] = leading_axes(flat[:, others], q, seed)
                found.centre[s] = np.where(others, np.median(flat, axis=0), 0.0)
                deviation = np.std((flat - found.centre[s]) @ axes, axis=0)
                found.axes[s] = axes / np.where(deviation > 0, deviation, 1.0)
                mine = np.flatnonzero(at.place == s)
                design, y = found._design(flat, s)[at.of[mine]], at.x[mine]
                found.coefficients[s], leverage = _ridge(design, y)
                factor[mine] = 1.0 / (1.0 - np.minimum(leverage, 0.5))
                left = (y - design @ found.coefficients[s]) * factor[mine, None]
                found.scale[s] = np.maximum(robust_scale(left), LEAST_SCALE)
        return found, factor

    def residual(self, at: Instants) -> Floats:
        """(m, f) what the others do not explain of each record, in units of the residuals' scale."""
        out = np.empty(at.x.shape)
        if not len(at.rows):
            return out
        flat = at.values.reshape(len(at.values), -1)
        for s in range(len(self.sensors)):
            mine = np.flatnonzero(at.place == s)
            expected = in_blocks(lambda rows, s=s: self._design(rows, s) @ self.coefficients[s], flat)  # type: ignore[misc]
            out[mine] = (at.x[mine] - expected[at.of[mine]]) / self.scale[s]
        return out

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _design(self, flat: Floats, s: int) -> Floats:
        """(K, 1 + q) of the other sensors' values (K, S f) for sensor s."""
        components = (flat - self.centre[s]) @ self.axes[s].astype(np.float64)
        return np.concatenate([np.ones((len(flat), 1)), np.clip(components, -REACH, REACH)], axis=1)


def rows_by_group(sensor: NDArray[np.intp], members: Sequence[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
    """The rows (n,) of the sensors of each group."""
    highest = max(int(sensor.max(initial=-1)), *(int(codes.max()) for codes in members))
    group = np.full(highest + 2, -1)  # the last one is that of the code -1
    for i, codes in enumerate(members):
        group[codes] = i
    return sensor_rows(group[sensor], len(members))


def groups_of(sensor: NDArray[np.intp], instant: NDArray[np.intp], fewest: int, share: float) -> list[NDArray[np.intp]]:
    """Sorted codes of the sensors that measure together, one array a machine that has enough of them.

    At least ``SENSORS`` with ``fewest`` complete instants, these at least ``share`` of the instants at which most of them
    measured; the sensor with the fewest instants is left out until that holds.
    """
    known = (sensor >= 0) & (instant >= 0)
    if not known.any():
        return []
    codes, s = np.unique(sensor[known], return_inverse=True)
    numbers, i = np.unique(instant[known], return_inverse=True)
    size = len(codes) + len(numbers)
    graph = coo_array((np.ones(len(s)), (s, len(codes) + i)), shape=(size, size))
    machine = connected_components(graph, directed=False)[1]
    present = np.zeros((len(numbers), len(codes)), np.bool_)
    present[i, s] = True
    found = []
    for m in np.unique(machine[: len(codes)]):
        members = np.flatnonzero(machine[: len(codes)] == m)
        here = present[machine[len(codes) :] == m]
        while len(members) >= SENSORS:
            count = here[:, members].sum(axis=1)
            whole, most = (count == len(members)).sum(), (2 * count > len(members)).sum()
            if whole >= max(fewest, share * most):
                found.append(codes[members])
                break
            members = np.delete(members, here[:, members].sum(axis=0).argmin())
    return found


def _ridge(design: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coefficients (p, f) of y (n, f) on design (n, p), whose first column is 1 and free, and the leverage (n,) of the rows."""
    gram = design.T @ design
    gram[np.diag_indices(len(gram))] += np.append(0.0, np.full(len(gram) - 1, RIDGE))
    solve = np.linalg.solve(gram, design.T)
    return solve @ y, np.einsum("ip,pi->i", design, solve)
