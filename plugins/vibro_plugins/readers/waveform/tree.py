"""From a file's named arrays and values, at any depth, to channels: MATLAB, HDF5 and JSON have this in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.readers.text.choice import chosen, matches
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform import names as words
from vibro_plugins.readers.waveform.clock import Clock, clock_of_numbers, is_axis, rises
from vibro_plugins.readers.waveform.columns import Recording, told
from vibro_plugins.readers.waveform.waves import Wave

CHANNELS = 32  # lines of a matrix; more of them are recordings of one channel
_SHORT = 100  # an array this many times shorter than the longest one is a list of settings, not a channel


@dataclass
class Tree:
    """``arrays`` and ``values`` (numbers and texts) by their path; ``about`` what is said of an array itself, by name.

    Paths are parted by ``mark``; an element of a list stands as ``a[0]``, or ``a[name]`` where it carries a name.
    """

    mark: str = "."
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    values: dict[str, object] = field(default_factory=dict)
    about: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, path: str, value: Any) -> None:
        """Sorts a value in: an array of numbers, one number or text; anything else is passed over."""
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.size > 1:
            self.arrays[path] = value
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiuU" and value.size == 1:
            self.values[path] = value.reshape(-1)[0].item()
        elif isinstance(value, int | float | str) and not isinstance(value, bool):
            self.values[path] = value

    def parent(self, path: str) -> str:
        """The path above, empty at the top."""
        return path.rpartition(self.mark)[0]

    def beside(self, path: str) -> dict[str, object]:
        """The values that stand with an array, in its own attributes or above, by their last name; nearer ones first."""
        found: dict[str, object] = dict(self.about.get(path, {}))
        above = path
        while above:
            above = self.parent(above)
            for name, value in self.values.items():
                if self.parent(name) == above:
                    found.setdefault(name.rpartition(self.mark)[2], value)
        return found


def recording(tree: Tree, patterns: Sequence[str]) -> Recording:
    """The channels of a tree that fit the patterns; BadField (Q005) where there is none."""
    notes: list[str] = []
    axes = {path: values.reshape(-1) for path, values in tree.arrays.items() if _is_time(tree, path, values, patterns)}
    lines = [line for path in tree.arrays if path not in axes for line in _lines(path, tree.arrays[path])]
    if not lines:
        known = ", ".join([*tree.arrays, *tree.values][:8]) or "nothing"
        raise BadField("Q005", "", f"no array of samples (the file has: {known})")
    short = _short_names(tree, [name for name, _, _ in lines])
    if patterns:
        kept = chosen([(name, short[name]) for name, _, _ in lines], patterns, "array")
    else:
        longest = max(values.shape[-1] for _, _, values in lines)
        kept = [i for i, (_, _, values) in enumerate(lines) if values.shape[-1] * _SHORT >= longest]
        if left := [name for i, (name, _, _) in enumerate(lines) if i not in kept]:
            notes.append(f"{', '.join(left[:4])}: too short for a channel beside the others, left out")
    waves, common = [], _common(tree)
    for place in kept:
        name, path, values = lines[place]
        beside = tree.beside(path)
        if not words.rate(beside):
            beside = {**beside, **common}
        clock = _clock(tree, axes, path, values.shape[-1])
        clock = told(clock, {key: str(value) for key, value in beside.items()})
        notes += clock.notes
        if values.ndim == 2:
            notes.append(f"{path} holds {len(values)} lines: each is a recording of one channel")
        unit = words.word({key: str(value) for key, value in beside.items()}, words.UNITS)
        waves.append((place, Wave(short[name], values, unit, replace(clock, notes=()), path=name)))
    return Recording(waves, _covariates(tree), "", notes)


def _common(tree: Tree) -> dict[str, object]:
    """The sampling rate that stands anywhere in the file, where it is the only one."""
    rates = {words.rate({name.rpartition(tree.mark)[2]: value}) for name, value in tree.values.items()} - {0.0}
    return {"fs": rates.pop()} if len(rates) == 1 else {}


def _is_time(tree: Tree, path: str, values: NDArray[Any], patterns: Sequence[str]) -> bool:
    """Whether an array is the time axis of others: evenly rising, and not asked for by name."""
    if max(values.shape) != values.size or any(matches(p, path) for p in patterns if p.strip("*")):
        return False
    flat = values.reshape(-1)
    named = words.time_column(path.rpartition(tree.mark)[2])[0]
    return (named and rises(flat)) or (len(flat) > 3 and is_axis(flat))


def _lines(path: str, values: NDArray[Any]) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Name, path and samples of each channel of an array: samples lie along its longer side."""
    values = values.reshape([n for n in values.shape if n != 1] or [1])
    if values.ndim == 1:
        yield path, path, values
    elif values.ndim == 2:
        values = values if values.shape[1] >= values.shape[0] else values.T
        if len(values) > CHANNELS:
            yield path, path, values
        else:
            yield from ((f"{path}/{i + 1}", path, line) for i, line in enumerate(values))


def _short_names(tree: Tree, names: Sequence[str]) -> dict[str, str]:
    """Names of channels: an element that carries a name has that, any other its path without the one top that all share."""
    tops = {path.partition(tree.mark)[0].partition("[")[0] for path in [*tree.arrays, *tree.values] if path[:1] != "_"}
    found = {}
    for name in names:
        inner = name.rpartition("[")[2].partition("]")[0] if "[" in name else ""
        below = name.partition(tree.mark)[2] if len(tops) == 1 else ""
        found[name] = inner if inner and not inner.isdecimal() else below or name
    twice = {name for name, count in Counter(found.values()).items() if count > 1}
    return {name: name if short in twice else short for name, short in found.items()}


def _clock(tree: Tree, axes: dict[str, NDArray[Any]], path: str, length: int) -> Clock:
    """The clock by the time axis of the same length that stands nearest."""
    fitting = [axis for axis, values in axes.items() if len(values) == length]
    near = [axis for axis in fitting if tree.parent(axis) == tree.parent(path)] or fitting
    clocks = {axis: clock_of_numbers(axes[axis], 1.0, axis) for axis in near}
    if len({clock.fs for clock in clocks.values()}) == 1:
        return next(iter(clocks.values()))
    return Clock()


def _covariates(tree: Tree) -> dict[str, float]:
    """Speed and load, where one value of that name is given."""
    found: dict[str, list[float]] = {}
    for path, value in tree.values.items():
        name = words.covariate(path.rpartition(tree.mark)[2])
        if name and isinstance(value, int | float) and np.isfinite(value):
            found.setdefault(name, []).append(float(value))
    return {name: values[0] for name, values in found.items() if len(set(values)) == 1}
