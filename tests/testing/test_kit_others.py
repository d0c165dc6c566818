"""Every check for the other kinds passes a sound component and has been seen to fail a wrong one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from vibro.api import (
    Classifier,
    Exported,
    Extent,
    FeatureExtractor,
    Fuser,
    Metric,
    NotApplicableError,
    NotFittedError,
    Params,
    Reader,
    Record,
    Rejected,
    Thresholder,
)
from vibro.testing import common, learner, run_check, run_checks
from vibro.testing.runner import case_for, checks
from vibro_plugins.portable import fusing, relative

SHARED = {check.__name__ for module in (common, learner) for check in vars(module).values() if callable(check)}
SHARED |= {check.__name__ for check in common.AFTER_USE}


class Levels(FeatureExtractor):
    """Log level and log peak of every record, in units of the fit rows of its sensor."""

    name = "levels"
    item = "f"

    @classmethod
    def inputs(cls, params):
        return ("raw", "sensor", "covariates")

    def values(self, inputs):
        x = inputs["raw"].astype(np.float64)
        parts = [np.log10(np.sqrt((x**2).mean(axis=2)) + 1e-12), np.log10(np.abs(x).max(axis=2) + 1e-12)]
        return np.concatenate(parts, axis=1)

    def fit(self, inputs):
        self.mean = self.values(inputs).mean(axis=0)

    def transform(self, inputs):
        if not hasattr(self, "mean"):
            raise NotFittedError("fit first")
        if len(inputs["raw"][0]) * 2 != len(self.mean):
            raise NotApplicableError("another number of channels")
        return (self.values(inputs) - self.mean).astype(np.float32)

    def extent(self, inputs):
        channels, samples = inputs["raw"].seconds.shape[:2]
        whole = np.tile([0.0, samples / self.ctx.fs], (2 * channels, 1))
        return Extent(whole, np.full_like(whole, np.nan))

    def state(self):
        if not hasattr(self, "mean"):
            raise NotFittedError("fit first")
        return {"mean": self.mean}

    def load_state(self, state):
        self.mean = state["mean"]


class Average(Fuser):
    """Mean of the usable cells, each column centred on the reference."""

    name = "average"

    def fit(self, z, y=None, usefulness=None):
        with np.errstate(all="ignore"):
            centre = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else 0.0 for c in z.T])
        self.centre = centre

    def fuse(self, z):
        if not hasattr(self, "centre"):
            raise NotFittedError("fit first")
        held = np.where(np.isfinite(z), z - self.centre, 0.0)
        count = np.isfinite(z).sum(axis=1)
        return np.where(count > 0, held.sum(axis=1) / np.maximum(count, 1), np.nan)

    def weights(self):
        return np.full(len(self.centre), 1 / len(self.centre))

    def state(self):
        if not hasattr(self, "centre"):
            raise NotFittedError("fit first")
        return {"centre": self.centre}

    def load_state(self, state):
        self.centre = state["centre"]


class Plain(Thresholder):
    """The quantile of the reference."""

    name = "plain"

    def cut(self, scores, budget, y=None):
        self.last = float(np.quantile(scores, 1 - budget))
        return self.last

    def details(self):
        return {"fallback": None, "interval": [self.last - 1, self.last + 1]}


class Lines(Reader):
    """One JSON list of numbers a line."""

    name = "lines"
    extensions = (".lines",)

    @classmethod
    def examples(cls):
        yield "good.lines", b"[1, 2, 3]\n[4, 5, 6]\n", 2, 0
        yield "mixed.lines", b"[1, 2]\noops\n[3, 4]\n", 2, 1

    def read(self, path):
        for row, line in enumerate(path.read_bytes().splitlines()):
            if not line:
                continue
            try:
                signal = np.array(json.loads(line), dtype=np.float32)[None]
                if signal.ndim != 2:
                    raise ValueError("no list of numbers")
            except (ValueError, RecursionError, TypeError) as error:
                yield Rejected("Q002", f"not a list of numbers: {type(error).__name__}", row=row)
                continue
            yield Record(signal, "s", row=row)


class Nearest(Classifier):
    """Softmax of the distances to the weighted means of the classes."""

    name = "nearest"
    view = "spectrum"

    def fit(self, x, y, weight):
        rows = x.reshape(len(x), -1).astype(np.float64)
        used = weight > 0
        self.means = np.stack(
            [np.average(rows[used & (y == c)], axis=0, weights=weight[used & (y == c)]) for c in np.unique(y[used])]
        )

    def predict_proba(self, x):
        if not hasattr(self, "means"):
            raise NotFittedError("fit first")
        rows = x.reshape(len(x), -1).astype(np.float64)
        d = np.sqrt(((rows[:, None] - self.means) ** 2).sum(axis=2))
        p = np.exp(-(d - d.min(axis=1, keepdims=True)))
        return p / p.sum(axis=1, keepdims=True)

    def state(self):
        if not hasattr(self, "means"):
            raise NotFittedError("fit first")
        return {"means": self.means}

    def load_state(self, state):
        self.means = state["means"]


class Hits(Metric):
    """Share of the anomalies that are flagged."""

    name = "hits"

    def compute(self, y, score, flag):
        return float(flag[y == 1].mean()) if (y == 1).any() else float("nan")


SOUND = [Levels, Average, Plain, Lines, Nearest, Hits]
WRONG: list[tuple[str, type]] = []


def but(base: type, check: str, **changes: Any) -> None:
    """Files a copy of a sound component with these attributes changed."""
    WRONG.append((check, type(f"Wrong{base.__name__}", (base,), {"__doc__": "Wrong.", **changes})))


def after(base: type, check: str, method: str, change) -> None:
    """Files a component whose sound method's result is changed."""
    but(base, check, **{method: lambda self, *args: change(getattr(base, method)(self, *args), *args)})


def writes(base: type, method: str) -> None:
    """Files a component that writes into the first array of a method's first argument."""

    def changed(self, *args):
        result = getattr(base, method)(self, *args)
        first = next(iter(args[0].values())) if isinstance(args[0], dict) else args[0]
        first[...] = 0
        return result

    but(base, "check_input_unchanged", **{method: changed})


but(Average, "check_export", export=lambda self: Exported({}, fusing.largest))
but(Levels, "check_export", export=lambda self: Exported({}, relative.concat))


# --- feature ----------------------------------------------------------------------------------------------------------

after(Levels, "check_view_shape", "transform", lambda v, i: v[:-1])
but(Levels, "check_view_shape", item="7")
but(Levels, "check_view_shape", item="3 h w")
after(Levels, "check_view_dtype", "transform", lambda v, i: v.astype(np.float64))
after(Levels, "check_view_finite", "transform", lambda v, i: v + i["covariates"][:, 1:])
after(Levels, "check_rows_alone", "transform", lambda v, i: v - v.mean(axis=0))
after(Levels, "check_chunks", "transform", lambda v, i: v / np.abs(v).max())
after(Levels, "check_row_order", "transform", lambda v, i: v + np.arange(len(v), dtype=np.float32)[:, None])
writes(Levels, "transform")
writes(Levels, "fit")
after(Levels, "check_read_only_memmap", "transform", lambda v, i: (i["raw"].sort(axis=2), v)[1])
after(Levels, "check_rows_differ", "transform", lambda v, i: np.round(v, 0))
after(Levels, "check_odd_records", "transform", lambda v, i: v / i["raw"].std(axis=2))
after(Levels, "check_unknown_sensor", "transform", lambda v, i: np.where(i["sensor"] < 0, np.nan, v).astype(np.float32))
after(Levels, "check_channels", "transform", lambda v, i: v * np.float32(np.nan if i["raw"].shape[1] == 2 else 1))
but(
    Levels,
    "check_rates_and_lengths",
    values=lambda self, i: np.stack([np.abs(i["raw"][:, 0, k]).astype(float) for k in (0, 1000)], axis=1),
)
but(Levels, "check_kept", kept=property(lambda self: np.ones(99, bool)))
but(Levels, "check_kept", kept=property(lambda self: np.ones(2)))
after(Levels, "check_extent", "extent", lambda e, i: (e.seconds, e.hz))
after(Levels, "check_extent", "extent", lambda e, i: Extent(e.seconds[:, 0], e.hz))
after(Levels, "check_extent", "extent", lambda e, i: Extent(e.seconds[:, ::-1], e.hz))
after(Levels, "check_extent", "extent", lambda e, i: Extent(2 * e.seconds, e.hz))
after(Levels, "check_extent", "extent", lambda e, i: Extent(e.seconds, np.nan_to_num(e.hz, nan=-1.0)))

# --- fuser ------------------------------------------------------------------------------------------------------------

after(Average, "check_fused_shape", "fuse", lambda f, z: f[:, None])
after(Average, "check_fused_shape", "fuse", lambda f, z: f.astype(np.float32))
after(Average, "check_empty_row", "fuse", lambda f, z: np.nan_to_num(f))
after(Average, "check_rows_alone", "fuse", lambda f, z: f - np.nanmean(f))
after(Average, "check_columns_permuted", "fuse", lambda f, z: f + np.nan_to_num(z[:, 0]))
after(Average, "check_direction", "fuse", lambda f, z: f - np.nan_to_num(z[:, 2]))
after(Average, "check_larger_is_worse", "fuse", lambda f, z: -f)
but(Average, "check_weights", weights=lambda self: np.ones(4))
but(Average, "check_weights", weights=lambda self: np.ones(2) / 2)
but(Average, "check_notes", notes=lambda self: "one sentence")
after(Average, "check_one_detector", "fuse", lambda f, z: -f if z.shape[1] == 1 else f)
writes(Average, "fit")
writes(Average, "fuse")
but(Average, "check_small_reference", fit=lambda self, z, y=None, u=None: setattr(self, "centre", np.median(z, axis=0)))

# --- thresholder ------------------------------------------------------------------------------------------------------

but(Plain, "check_cut_finite", cut=lambda self, s, b, y=None: np.inf)
but(Plain, "check_cut_finite", cut=lambda self, s, b, y=None: np.quantile(s, [1 - b]))
but(Plain, "check_budget", cut=lambda self, s, b, y=None: float(np.quantile(s, b)))
but(Plain, "check_share", cut=lambda self, s, b, y=None: float(np.median(s)))
but(Plain, "check_order_of_scores", cut=lambda self, s, b, y=None: float(np.quantile(s[: len(s) // 2], 1 - b)))


def anchored(self, scores, budget, y=None):
    self.anchor = getattr(self, "anchor", float(scores.max()))
    return self.anchor - budget


but(Plain, "check_calls_independent", cut=anchored)
but(Plain, "check_degenerate", cut=lambda self, s, b, y=None: float((np.quantile(s, 1 - b) - s.mean()) / s.std()))
after(Plain, "check_input_unchanged", "cut", lambda c, s, b, y: (s.sort(), c)[1])
but(Plain, "check_details", details=lambda self: {"fallback": None, "tail": np.zeros(3)})
but(Plain, "check_details", details=lambda self: {"fallback": 3})
but(Plain, "check_details", details=lambda self: {"interval": [self.last + 1, self.last + 2]})

# --- reader -----------------------------------------------------------------------------------------------------------

but(Lines, "check_extensions", extensions=("LINES",))
but(Lines, "check_extensions", extensions=())
but(Lines, "check_accepts", accepts=classmethod(lambda cls, path, head: True))
but(Lines, "check_accepts", accepts=classmethod(lambda cls, path, head: False))


def only(kind):
    return lambda self, path: (item for item in Lines.read(self, path) if isinstance(item, kind))


def changed(**values):
    from dataclasses import replace

    def read(self, path):
        for item in Lines.read(self, path):
            known = {k: v for k, v in values.items() if hasattr(item, k)}
            yield replace(item, **{k: v(item) for k, v in known.items()})

    return read


def stops(self, path):
    for row, line in enumerate(path.read_bytes().splitlines()):
        yield Record(np.array(json.loads(line), dtype=np.float32)[None], "s", row=row)


but(Lines, "check_items", read=only(Record))
but(Lines, "check_items", read=lambda self, path: iter([{"signal": [1, 2]}]))
but(Lines, "check_records", read=changed(signal=lambda item: item.signal[0]))
but(Lines, "check_records", read=changed(signal=lambda item: item.signal * np.nan))
but(Lines, "check_records", read=changed(row=lambda item: 0))
but(Lines, "check_rejections", read=changed(code=lambda item: "bad"))
but(Lines, "check_rejections", read=changed(detail=lambda item: ""))
but(Lines, "check_broken_files", read=stops)
but(Lines, "check_broken_files", read=only(Record))

# --- classifier -------------------------------------------------------------------------------------------------------

after(Nearest, "check_probabilities", "predict_proba", lambda p, x: p[:, 0])
after(Nearest, "check_probabilities", "predict_proba", lambda p, x: 2 * p)
after(Nearest, "check_probabilities", "predict_proba", lambda p, x: p.astype(np.float32))
after(Nearest, "check_learns_classes", "predict_proba", lambda p, x: p[:, ::-1])
but(Nearest, "check_weight_zero", fit=lambda self, x, y, w: Nearest.fit(self, x, y, np.ones(len(y))))
after(Nearest, "check_rows_alone", "predict_proba", lambda p, x: p * 0 + p.mean(axis=0))
after(Nearest, "check_row_order", "predict_proba", lambda p, x: np.sort(p, axis=0))
writes(Nearest, "fit")
writes(Nearest, "predict_proba")
after(Nearest, "check_odd_rows", "predict_proba", lambda p, x: p + 0 / x.reshape(len(x), -1).std(axis=1)[:, None])

# --- metric -----------------------------------------------------------------------------------------------------------

but(Hits, "check_one_number", compute=lambda self, y, s, f: np.array([0.5, 0.5]))
but(Hits, "check_one_number", compute=lambda self, y, s, f: float("nan"))
but(Hits, "check_direction", higher_is_better=False)
but(Hits, "check_order_of_rows", compute=lambda self, y, s, f: float(f[:30].mean()))
but(Hits, "check_undefined", compute=lambda self, y, s, f: 1 / int(y.sum()))
writes(Hits, "compute")


@pytest.mark.parametrize("cls", SOUND, ids=lambda cls: cls.kind)
def test_sound_component_passes(cls):
    assert [(o.name, o.detail, o.input) for o in run_checks(cls) if not o.ok] == []


@pytest.mark.parametrize(("check", "cls"), WRONG, ids=[f"{c.kind}-{check}-{i}" for i, (check, c) in enumerate(WRONG)])
@pytest.mark.filterwarnings("ignore")
def test_wrong_component_fails(check, cls):
    with pytest.raises(Exception), np.errstate(all="ignore"):
        run_check(cls, check)


@pytest.mark.parametrize("cls", SOUND, ids=lambda cls: cls.kind)
def test_every_check_has_been_seen_to_fail(cls):
    own = {name for name, _ in checks(case_for(cls))} - SHARED
    assert own == {check for check, wrong in WRONG if wrong.kind == cls.kind}


@dataclass(frozen=True)
class Of(Params):
    of: str = "mains"


class Scaled(FeatureExtractor):
    """A view made from another view."""

    name = "scaled"
    item = "f"
    Params = Of

    @classmethod
    def inputs(cls, params):
        return (params.of,)

    def transform(self, inputs):
        return (2 * inputs[self.params.of]).astype(np.float32)


def test_view_of_a_view_passes():
    assert [o for o in run_checks(Scaled) if not o.ok] == []
