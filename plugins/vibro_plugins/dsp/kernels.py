"""Compiled passes over the samples of one row at a time: scale, moments, differences, interpolation, runs, recurrences.

The compiler may reorder sums (``REORDER``), but in the same way for every row: results are independent of the batch.
"""

from __future__ import annotations

import math

from vibro_plugins.compiled import compiled

REORDER = {"reassoc", "contract", "nsz", "nnan"}


@compiled(fastmath=REORDER)
def scale_rows(x, exponent, y, mean):
    """y = x / 2^exponent less its mean."""
    for r in range(len(x)):
        row, out = x[r], y[r]
        unit = math.ldexp(1.0, -exponent[r])
        total = 0.0
        for i in range(len(row)):
            out[i] = row[i] * unit
            total += out[i]
        mean[r] = total / len(row)
        for i in range(len(row)):
            out[i] -= mean[r]


@compiled(fastmath=REORDER)
def moments(y, out):
    """Means of y^2, y^3, y^4, abs(y), sqrt(abs(y)), and changes of sign a step (rows, 6)."""
    for r in range(len(y)):
        row = y[r]
        second = third = fourth = size = root = 0.0
        for i in range(len(row)):
            v = row[i]
            square, absolute = v * v, abs(v)
            second += square
            third += square * v
            fourth += square * square
            size += absolute
            root += math.sqrt(absolute)
        crossings = 0
        for i in range(1, len(row)):
            crossings += (row[i] < 0) != (row[i - 1] < 0)
        n = len(row)
        out[r, 0], out[r, 1], out[r, 2], out[r, 3], out[r, 4] = second / n, third / n, fourth / n, size / n, root / n
        out[r, 5] = crossings / (n - 1)


@compiled(fastmath=REORDER)
def differences(y, out):
    """Mean squares of the first and second differences (rows, 2)."""
    for r in range(len(y)):
        row = y[r]
        slope = curvature = 0.0
        for i in range(1, len(row)):
            slope += (row[i] - row[i - 1]) ** 2
        for i in range(2, len(row)):
            curvature += (row[i] - 2 * row[i - 1] + row[i - 2]) ** 2
        out[r, 0], out[r, 1] = slope / (len(row) - 1), curvature / (len(row) - 2)


@compiled()
def interpolate(power, low, weight, out):
    """Linear interpolation of (rows, bins) at places low + weight."""
    top = power.shape[1] - 1
    for r in range(len(power)):
        for j in range(len(low)):
            k = low[j]
            out[r, j] = power[r, k] * (1 - weight[j]) + power[r, min(k + 1, top)] * weight[j]


@compiled()
def runs(x, out):
    """Share of samples within 0.1 % of the range from either end, and the longest run of equal samples (rows, 2)."""
    for r in range(len(x)):
        row = x[r]
        high, low = row.max(), row.min()
        margin = 1e-3 * (high - low)
        ends = 0
        longest = run = 1
        for i in range(len(row)):
            ends += row[i] >= high - margin or row[i] <= low + margin
            if i:
                run = run + 1 if row[i] == row[i - 1] else 1
                longest = max(longest, run)
        out[r, 0], out[r, 1] = ends / len(row), longest


@compiled()
def recurrences(taken, reach, out):
    """Pairs of samples nearer than ``reach``, and those of them without a diagonal neighbour (rows, 2)."""
    points = taken.shape[1]
    for r in range(len(taken)):
        row = taken[r]
        found = alone = 0
        for lag in range(1, points - 1):
            before = False
            now = abs(row[lag] - row[0]) <= reach[r]
            for i in range(points - lag):
                after = i + 1 < points - lag and abs(row[i + 1 + lag] - row[i + 1]) <= reach[r]
                found += now
                alone += now and not before and not after
                before, now = now, after
        out[r, 0], out[r, 1] = found, alone
