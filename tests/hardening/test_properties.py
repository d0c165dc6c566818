"""Properties that hold for any input: readers against a slow parser, books that balance, order that decides nothing."""

from __future__ import annotations

import csv
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vibro.api import Context
from vibro.cli import run as vibro
from vibro.errors import DataError
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions, ingest
from vibro.scoring.thresholds import guarded_cut
from vibro_plugins.thresholders import auto, conformal, mad, mixture, pot, quantile

from .made import FS, signals

FIXED = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
FEW = settings(FIXED, max_examples=3)
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|[+-]?\.[0-9]+([eE][+-]?[0-9]+)?", re.ASCII)
LARGEST = float(np.finfo(np.float32).max)


@pytest.fixture(scope="module")
def readers():
    return [cls.make({}, Context()) for cls in PluginHost.create(autoload=False).components("reader")]


@pytest.fixture
def read(readers, tmp_path):
    """read(name, content): what is accepted of a file, and its account."""

    def call(name: str, content: bytes):
        path = tmp_path / name
        path.write_bytes(content)
        try:
            found = ingest([path], readers, IngestOptions(need_fs=False), tmp_path / "work", lambda event: None)
        except DataError:
            return None, None
        return found.batch, found.accounting.total

    return call


def slow(token: str) -> float | None:
    """The number that a token is, or None: plain ASCII decimal text within the range of float32."""
    if NUMBER.fullmatch(token.strip(" ")) is None:
        return None
    value = float(token)
    return value if abs(value) <= LARGEST else None


tokens = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**12), 10**12).map(str),
    st.text("0123456789.eE+-", min_size=1, max_size=6),
    st.sampled_from(["nan", "1_0", "0x1", "１", "1e999", "", " 1", "1 ", "--1", "1e", "+", "inf", "1.5.2", "٣"]),
)
fields = st.lists(st.lists(tokens, min_size=8, max_size=8), min_size=1, max_size=5)


@FIXED
@given(fields)
def test_no_number_differs_from_that_of_a_slow_parser(read, rows):
    """Every line is accepted with exactly the numbers of its text, or quarantined; between two sound lines."""
    sound = [[str(i + 0.5) for i in range(8)], [str(2 * i - 3.5) for i in range(8)]]
    rows = [sound[0], *rows, sound[1]]
    lines = [
        {"data_time": f"2024-01-01T00:{i:02}:00Z", "sensor_id": "s", "fs": FS, "signal_value": ",".join(row)}
        for i, row in enumerate(rows)
    ]
    batch, books = read("x.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    assert books.read == books.accepted + books.quarantined == len(rows)
    wanted = [(i, [slow(token) for token in row]) for i, row in enumerate(rows)]
    wanted = [(i, values) for i, values in wanted if None not in values]
    assert books.accepted == len(wanted)
    assert batch.row.tolist() == [i for i, _ in wanted]
    for got, (_, values) in zip(batch.x[:, 0], wanted, strict=True):
        assert got.tobytes() == np.array(values, np.float64).astype(np.float32).tobytes()


@FIXED
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b"{}", b"[]", b"null", b'{"a": 1}'])), max_size=6))
def test_any_lines_are_accounted_for_and_take_no_other_with_them(read, junk):
    good = [
        json.dumps({"data_time": f"2024-01-01T00:0{i}:00Z", "sensor_id": "s", "fs": FS, "signal_value": f"{i},1,2,3"})
        for i in range(2)
    ]
    junk = [line.replace(b"\n", b"").replace(b"\r", b"") for line in junk]
    _, books = read("x.jsonl", b"\n".join([good[0].encode(), *junk, good[1].encode()]) + b"\n")
    assert books.accepted == 2
    assert books.quarantined == sum(bool(line.strip()) for line in junk)


@FIXED
@given(st.lists(st.lists(st.floats(width=32, allow_nan=True), min_size=4, max_size=4), min_size=1, max_size=6))
def test_arrays_are_accepted_whole_or_quarantined(read, rows):
    """Of an array of any floats: what is finite keeps its bits, what is not is quarantined, equal rows once each time."""
    x = np.array(rows, np.float32)
    made = io.BytesIO()
    times = np.array([f"2024-01-01T00:00:{i:02}Z" for i in range(len(x))])
    np.savez(made, signals=x, fs=float(FS), sensor_id=np.array(["s"] * len(x)), data_time=times)
    batch, books = read("x.npz", made.getvalue())
    finite = np.isfinite(x).all(axis=1)
    if not finite.any():
        assert batch is None
        return
    assert books.read == len(x) and books.accepted == finite.sum()
    assert np.array_equal(batch.x[:, 0].view(np.uint32), x[finite].view(np.uint32))


@pytest.fixture(scope="module")
def verdicts(finished, tmp_path_factory):
    """The verdicts of records that lie in one file in order of time."""
    return scored(finished, tmp_path_factory.mktemp("ordered"), range(24), ())


@FEW
@given(st.permutations(range(24)), st.sets(st.integers(1, 23), min_size=1, max_size=3))
def test_neither_order_nor_files_decide_a_score(finished, verdicts, tmp_path_factory, order, cuts):
    """The same records in another order and in several files: the same row for each, but for where it lies."""
    assert len(verdicts) == 24
    assert scored(finished, tmp_path_factory.mktemp("mixed"), order, cuts) == verdicts


def scored(finished: Path, folder: Path, order, cuts) -> dict[str, tuple[str, ...]]:
    """The verdict of each record by its id."""
    x = signals(24, seed=3)
    lines = [
        {
            "data_time": f"2024-01-01T00:{i:02}:00Z",
            "sensor_id": "ab"[i % 2],
            "fs": FS,
            "signal_value": ",".join(map(repr, x[i].tolist())),
        }
        for i in range(24)
    ]
    data = folder / "data"
    data.mkdir()
    edges = [0, *sorted(cuts), 24]
    for name, (a, b) in enumerate(pairwise(edges)):
        (data / f"{name}.jsonl").write_text("".join(json.dumps(lines[i]) + "\n" for i in list(order)[a:b]))
    assert vibro(["score", str(finished), str(data), "-o", str(folder / "out"), "--no-report", "--quiet"]) == 0
    with (folder / "out" / "scores.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    return {row.pop("record_id"): tuple(v for k, v in row.items() if k not in ("source", "row")) for row in rows}


scores = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(30, 200), st.sampled_from(["normal", "heavy", "ties", "two groups"])
)


@settings(FIXED, max_examples=20)
@given(scores, st.floats(0.001, 0.15), st.floats(1.05, 3.0))
@pytest.mark.parametrize(
    "cls", [auto.Auto, conformal.Conformal, mad.Mad, mixture.Mixture, pot.Pot, pot.Spot, quantile.Quantile]
)
def test_a_larger_budget_never_raises_a_cut(monkeypatch, cls, scores, budget, factor):
    seed, n, kind = scores
    rng = np.random.default_rng(seed)
    drawn = {
        "normal": lambda: rng.normal(size=n),
        "heavy": lambda: rng.standard_t(2, size=n),
        "ties": lambda: rng.integers(0, 9, n) / 2,
        "two groups": lambda: np.r_[rng.normal(size=n - n // 12), rng.normal(12, 1, n // 12)],
    }[kind]()
    monkeypatch.setattr(pot, "DRAWS", 1)
    monkeypatch.setattr(mixture, "DRAWS", 1)
    small, large = (
        guarded_cut(cls.make({}, Context(seed=5)), drawn, share) for share in (budget, min(0.4, factor * budget))
    )
    assert small >= large - 1e-9
