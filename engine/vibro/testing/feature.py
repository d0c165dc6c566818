"""Checks for feature extractors: shape, independence of the rows, odd records, other rates and lengths."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Extent, view_key
from vibro.errors import ContractError, VibroError
from vibro.testing import signals
from vibro.testing.assertions import close, fail, overrides, require, same
from vibro.testing.case import Case
from vibro.testing.exported import check_export

Inputs = dict[str, NDArray[Any]]


class FeatureCase(Case):
    """An extractor with easy records, three sensors and two covariates as its inputs; with whole instants four sensors."""

    @property
    def learns(self) -> bool:
        """Whether the extractor has a ``fit`` of its own."""
        return overrides(self.cls, "fit")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(str(view_key(spec)) for spec in self.cls.inputs(self.make().params))

    @property
    def together(self) -> int:
        """Rows that must stay together: four of an instant where the extractor reads ``instant``, else one."""
        return 4 if "instant" in self.names else 1

    def inputs(self, kind: NDArray[np.int16], stream: int, *, samples: int = 1024, channels: int = 1) -> Inputs:
        """Fresh inputs for rows of these kinds (``signals.records``)."""
        rng = np.random.default_rng([self.seed, stream])
        n = len(kind)
        covariates = rng.standard_normal((n, 2)).astype(np.float32)
        covariates[::9, 1] = np.nan
        known: dict[str, NDArray[Any]] = {
            "raw": signals.records(kind, rng, samples=samples, channels=channels),
            "covariates": covariates,
            "sensor": (np.arange(n) % (self.together if self.together > 1 else 3)).astype(np.float32)[:, None],
            "instant": (np.arange(n) // self.together).astype(np.float32)[:, None],
        }
        return {name: known[name] if name in known else self._view(known["raw"]) for name in self.names}

    def _view(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """A stand-in for a view that the extractor is made from: 24 log band powers."""
        return signals.bands(x[:, 0], 24)

    @cached_property
    def data(self) -> Inputs:
        """The inputs of 60 rows, half of them with impulses."""
        return self.inputs(np.repeat(np.array([0, 1], np.int16), 30), 1)

    def fit(self, component: Any, *, other: bool = False) -> Any:
        """Fits on 60 normal rows or instants, or on noise."""
        rows = self.inputs(np.full(signals.ROWS * self.together, 2 if other else 0, np.int16), 2)
        self.show(f"fit {sorted(rows)}", *rows.values())
        component.fit(rows)
        return component

    def answer(self, component: Any) -> NDArray[Any]:
        """The view of the 60 rows."""
        return self.transform(component, copies(self.data))

    @property
    def asked(self) -> list[NDArray[Any]]:
        """The inputs behind the answer, in the order of ``inputs``."""
        return [np.array(self.data[name]) for name in self.names]

    def transform(self, component: Any, inputs: Inputs) -> NDArray[Any]:
        """The view of these inputs."""
        self.show(f"transform {sorted(inputs)}", *inputs.values())
        return np.asarray(component.transform(inputs))

    @property
    def checks(self) -> tuple[Callable[..., None], ...]:
        """The checks that apply to a feature extractor."""
        by_input = {"raw": (check_channels, check_rates_and_lengths), "sensor": (check_unknown_sensor,)}
        return (
            check_view_shape,
            check_view_dtype,
            check_view_finite,
            check_rows_alone,
            check_chunks,
            check_row_order,
            check_read_only_memmap,
            check_input_unchanged,
            check_rows_differ,
            check_odd_records,
            check_kept,
            check_extent,
            check_export,
            *(check for name, found in by_input.items() if name in self.names for check in found),
        )


def copies(inputs: Inputs) -> Inputs:
    """The same inputs in arrays of their own."""
    return {name: a.copy() for name, a in inputs.items()}


def take(inputs: Inputs, rows: Any) -> Inputs:
    """Some rows of every input."""
    return {name: a[rows].copy() for name, a in inputs.items()}


def check_view_shape(case: FeatureCase) -> None:
    """n rows give (n, *item), item as the class declares it."""
    view = case.transform(case.fitted, copies(case.data))
    require(view.ndim >= 2 and len(view) == 60, f"60 rows gave shape {view.shape}")
    tokens = str(case.cls.item).split()
    if tokens == ["..."]:
        return
    require(len(tokens) == view.ndim - 1, f"item is '{case.cls.item}', but a row has shape {view.shape[1:]}")
    for token, size in zip(tokens, view.shape[1:], strict=True):
        require(not token.isdigit() or int(token) == size, f"item is '{case.cls.item}', a row has {view.shape[1:]}")


def check_view_dtype(case: FeatureCase) -> None:
    """A view is a float32 array."""
    view = case.fitted.transform(copies(case.data))
    require(isinstance(view, np.ndarray) and view.dtype == np.float32, f"transform gave {getattr(view, 'dtype', view)}")


def check_view_finite(case: FeatureCase) -> None:
    """No value is NaN or infinite, not even where a covariate is missing."""
    wrong = ~np.isfinite(case.expected.astype(float)).reshape(60, -1)
    require(not wrong.any(), f"{int(wrong.sum())} values are not finite, first in row {int(np.argmax(wrong.any(1)))}")


def check_rows_alone(case: FeatureCase) -> None:
    """A row, or an instant, gives the same alone as among all."""
    for i in (0, 60 - case.together):
        rows = slice(i, i + case.together)
        close(
            case.transform(case.fitted, take(case.data, rows)),
            case.expected[rows],
            f"row {i} alone differs",
            _spread(case),
        )


def check_chunks(case: FeatureCase) -> None:
    """Chunks of rows or instants give the same as all at once."""
    step = 7 * case.together
    parts = [case.transform(case.fitted, take(case.data, slice(s, s + step))) for s in range(0, 60, step)]
    close(np.concatenate(parts), case.expected, f"chunks of {step} rows differ")


def check_row_order(case: FeatureCase) -> None:
    """The order of the rows does not matter."""
    order = np.random.default_rng(0).permutation(60)
    close(case.transform(case.fitted, take(case.data, order)), case.expected[order], "permuted rows differ")


def check_read_only_memmap(case: FeatureCase) -> None:
    """Read-only memory maps are accepted and give the same."""
    with tempfile.TemporaryDirectory(prefix="vibro-kit-") as folder:
        maps = {}
        for i, (name, array) in enumerate(case.data.items()):
            np.save(Path(folder, f"{i}.npy"), array)
            maps[name] = np.load(Path(folder, f"{i}.npy"), mmap_mode="r")
        same(case.transform(case.fitted, maps), case.expected, "a view of memory maps differs")


def check_input_unchanged(case: FeatureCase) -> None:
    """Neither ``fit`` nor ``transform`` writes into its inputs."""
    given = case.inputs(np.zeros(signals.ROWS * case.together, np.int16), 1)
    inputs = copies(given)
    component = case.make()
    component.fit(inputs)
    component.transform(inputs)
    for name, array in inputs.items():
        require(np.array_equal(array, given[name], equal_nan=True), f"input {name} was changed")
    require(list(inputs) == list(given), "the table of inputs was changed")


def check_rows_differ(case: FeatureCase) -> None:
    """Different records give different rows."""
    rows = np.unique(case.expected.reshape(60, -1), axis=0)
    require(len(rows) >= 57, f"60 different records gave {len(rows)} different rows")


def check_odd_records(case: FeatureCase) -> None:
    """Constant, zero, clipped, huge and denormal records give finite rows."""
    for name, record in signals.odd_records().items():
        inputs = take(case.data, slice(0, case.together))
        if "raw" in inputs:
            inputs["raw"] = record[None, None]
        else:
            inputs = {
                k: a if k in ("sensor", "covariates", "instant") else _odd_row(a, record) for k, a in inputs.items()
            }
        with np.errstate(all="ignore"):
            view = case.transform(case.fitted, inputs)
        require(
            np.isfinite(view).all(), f"a record of '{name}' gives {int((~np.isfinite(view)).sum())} values not finite"
        )


def check_unknown_sensor(case: FeatureCase) -> None:
    """A sensor that was not there at ``fit`` (code -1) gives finite rows, or NaN throughout where instants are read."""
    inputs = take(case.data, slice(0, 2))
    inputs["sensor"] = np.full((2, 1), -1, np.float32)
    if case.together > 1:
        view = case.transform(case.fitted, inputs)
        require(bool((np.isfinite(view) | np.isnan(view).all(axis=1, keepdims=True)).all()), "rows are NaN in part")
        return
    require(np.isfinite(case.transform(case.fitted, inputs)).all(), "rows of an unknown sensor are not finite")


def check_channels(case: FeatureCase) -> None:
    """Two channels are joined along the last axis of a vector, the first of an image, or refused cleanly."""
    kind = np.zeros(20, np.int16)
    inputs = case.inputs(kind, 5, channels=2)
    component = case.make()
    try:
        component.fit(inputs)
        view = case.transform(component, inputs)
    except ContractError as error:
        fail(f"two channels: {error}")
    except VibroError:
        return
    require(len(view) == 20 and np.isfinite(view).all(), f"two channels gave shape {view.shape} or values not finite")


def check_rates_and_lengths(case: FeatureCase) -> None:
    """Records of 140 to 20,000 samples at 100 Hz to 100 kHz give finite rows or a clean refusal."""
    for fs, samples in ((360.0, 140), (100.0, 1000), (12000.0, 2400), (100000.0, 20000)):
        inputs = case.inputs(np.zeros(24, np.int16), 6, samples=samples)
        component = case.cls.make(case.settings, replace(case.context(), fs=fs))
        try:
            component.fit(inputs)
            view = case.transform(component, inputs)
        except ContractError as error:
            fail(f"{samples} samples at {fs:g} Hz: {error}")
        except VibroError:
            continue
        require(view.ndim >= 2 and len(view) == 24, f"{samples} samples at {fs:g} Hz gave shape {view.shape}")
        require(np.isfinite(view).all(), f"{samples} samples at {fs:g} Hz gave values not finite")


def check_kept(case: FeatureCase) -> None:
    """``kept`` is None or a mask over the last axis."""
    kept = case.fitted.kept
    if kept is not None:
        require(np.asarray(kept).dtype == bool, f"kept has type {np.asarray(kept).dtype}")
        require(
            np.shape(kept) == case.expected.shape[-1:], f"kept has shape {np.shape(kept)}, rows {case.expected.shape}"
        )


def check_extent(case: FeatureCase) -> None:
    """``extent`` is None, or gives every value of a row a from and a to within the record, NaN where it has no place."""
    if not overrides(case.cls, "extent"):
        return
    fs, given = case.context().fs, {}
    for name, array in case.data.items():
        item = array.shape[1:]
        steps = np.linspace(0, 1, item[-1] + 1)
        ends = np.broadcast_to(np.stack([steps[:-1], steps[1:]], axis=1), (*item, 2))
        nowhere = np.full((*item, 2), np.nan)
        placed = {"raw": Extent(ends * item[-1] / fs, nowhere)}
        silent = name in ("covariates", "sensor", "instant")
        given[name] = placed.get(name, Extent(nowhere, nowhere if silent else ends * fs / 2))
    said = case.fitted.extent(given)
    if said is None:
        return
    require(isinstance(said, Extent), f"extent gave {type(said).__name__}")
    longest = case.data["raw"].shape[-1] / fs if "raw" in case.data else np.inf
    for name, most in (("seconds", longest), ("hz", fs / 2)):
        found = np.asarray(getattr(said, name), float)
        wanted = (*case.expected.shape[1:], 2)
        require(found.shape == wanted, f"{name} has shape {found.shape}, not {wanted}")
        known = found[~np.isnan(found).all(axis=-1)]
        right = (known[:, 0] <= known[:, 1]) & (known[:, 0] >= -1e-9) & (known[:, 1] <= most * (1 + 1e-9))
        require(
            bool(right.all()),
            f"{name} of {int((~right).sum())} values do not run from low to high within 0 to {most:g}",
        )


def _odd_row(view: NDArray[Any], record: NDArray[np.float32]) -> NDArray[Any]:
    clipped = np.clip(record, -1e6, 1e6)
    return np.resize(clipped, view.shape).astype(view.dtype)


def _spread(case: FeatureCase) -> float:
    return float(np.asarray(case.expected, dtype=float).std())
