"""JSON lines to a float32 matrix by vibro's reader, by the reference loop and by libraries, in turns on one core.

    python -m benchmarks.speed.ingest

Writes ``benchmarks/results/speed/ingest.json`` and ``.md``. Libraries that are not installed are left out and named. Every
way must give the float32 of ``float()``, except where the table says what it does instead.

A way gives one record after the other, which are copied into one matrix. Signals that ingest has left in its memory map are
read as views read them, in blocks of rows and without a copy; there every sample is looked at once (the maximum is taken),
and so it is in what that is compared with.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time

import numpy as np

RECORDS, ROUNDS, LENGTH = 256, 5, 8192
REFERENCE, LIBRARY, READER = "json.loads and float()", "byte slice, simdjson", "vibro: reader jsonl"
PARSE, REREAD = "orjson, np.fromstring", "vibro: memory map again, looked at"
LOOKED = f"{PARSE}, looked at"
KEY = b'"signal_value": "'
Way = Callable[[Path], Iterator[np.ndarray]]


def written(path: Path, text: Callable[[float], str]) -> None:
    """Simulated records as JSON lines."""
    from vibro.simulate.simulate import simulate

    made = simulate(records=RECORDS, seed=0, length=LENGTH)
    with path.open("w") as out:
        for i, row in enumerate(made.x[:, 0]):
            fields = {
                "data_time": f"{made.time[i]}Z",
                "signal_value": ",".join(text(float(v)) for v in row),
                "sensor_id": str(made.sensor[i]),
            }
            out.write(json.dumps(fields) + "\n")


def reference(path: Path) -> Iterator[np.ndarray]:
    """As the reference plan reads."""
    with path.open() as lines:
        for line in lines:
            values = json.loads(line)["signal_value"].split(",")
            yield np.array([float(v) for v in values], dtype=np.float32)


def libraries() -> tuple[dict[str, Way], list[str]]:
    """The ways of libraries that are there, and those that are not."""
    ways: dict[str, Way] = {}
    missing = []
    try:
        import orjson

        def fromstring(path: Path) -> Iterator[np.ndarray]:
            with path.open("rb") as lines:
                for line in lines:
                    yield np.fromstring(orjson.loads(line)["signal_value"], np.float32, sep=",")

        def twice(path: Path) -> Iterator[np.ndarray]:
            with path.open("rb") as lines:
                for line in lines:
                    yield np.array(orjson.loads(f"[{orjson.loads(line)['signal_value']}]"), np.float32)

        ways |= {PARSE: fromstring, "orjson twice, np.array": twice}
    except ImportError:
        missing.append("orjson")
    try:
        import simdjson

        def sliced(path: Path) -> Iterator[np.ndarray]:
            parser = simdjson.Parser()
            with path.open("rb") as lines:
                for line in lines:
                    start = line.index(KEY) + len(KEY)
                    text = b"[%b]" % line[start : line.index(b'"', start)]
                    buffer = parser.parse(text).as_buffer(of_type="d")
                    yield np.frombuffer(buffer, np.float64).astype(np.float32)

        ways[LIBRARY] = sliced
    except ImportError:
        missing.append("simdjson")
    return ways, missing


def own(folder: Path) -> dict[str, Way]:
    """vibro's own ways: the parser alone, the reader with all of its checks, ingest with hashes and files, and again."""
    from vibro.api import Context, Record
    from vibro.ingest import IngestOptions, ingest
    from vibro_plugins.readers.jsonl import JsonLines
    from vibro_plugins.readers.text import digits
    from vibro_plugins.readers.text.fast import Numbers

    reader = JsonLines.make({}, Context())
    reader._numbers = Numbers(worth=0)

    def parser(path: Path) -> Iterator[np.ndarray]:
        with path.open("rb") as lines:
            for line in lines:
                start = line.index(KEY) + len(KEY)
                out = np.empty(LENGTH, np.float32)
                digits.parse(np.frombuffer(line, np.uint8), start, line.index(b'"', start), False, out)
                yield out

    def read(path: Path) -> Iterator[np.ndarray]:
        return (item.signal[0] for item in reader.read(path) if isinstance(item, Record))

    def take(path: Path) -> Iterator[np.ndarray]:
        got = ingest([path], [reader], IngestOptions(fs=8192.0), folder, lambda event: None)
        yield from got.batch.x[:, 0]

    return {"vibro: compiled parser": parser, READER: read, "vibro: whole ingest": take}


def again(folder: Path) -> Way:
    """Blocks of rows of what ingest has left, as the store of views hands them on."""
    from vibro.core.views import CHUNK_BYTES

    def read(path: Path) -> Iterator[np.ndarray]:
        x = np.load(folder / "signals.npy", mmap_mode="r")
        step = CHUNK_BYTES // x[:1].nbytes
        yield from (x[start : start + step, 0] for start in range(0, len(x), step))

    return read


def race(path: Path, folder: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Microseconds per record of processor time, (rounds,) each, and the libraries that are missing."""
    others, missing = libraries()
    ways = {REFERENCE: reference, **others, **own(folder)}
    looks = {REREAD: again(folder)} | ({LOOKED: others[PARSE]} if PARSE in others else {})
    matrix = np.ones((RECORDS, LENGTH), np.float32)

    def run(way: Way) -> float:
        begun = thread_time()
        for i, signal in enumerate(way(path)):
            matrix[i] = signal
        return (thread_time() - begun) / RECORDS * 1e6

    def look(way: Way) -> float:
        begun = thread_time()
        for signals in way(path):
            signals.max()
        return (thread_time() - begun) / RECORDS * 1e6

    run(reference)
    truth = matrix.copy()
    for name, way in ways.items():
        matrix[:] = np.nan
        run(way)
        exact = np.array_equal(matrix.view(np.uint32), truth.view(np.uint32))
        if not exact and (name.startswith("vibro") or not np.allclose(matrix, truth, rtol=3e-7, atol=0)):
            raise AssertionError(f"{name} gives other values")
    if not np.array_equal(np.concatenate(list(looks[REREAD](path))), truth):
        raise AssertionError("the memory map holds other values")
    taken: dict[str, list[float]] = {name: [] for name in [*ways, *looks]}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken[name].append(run(way))
        for name, way in looks.items():
            taken[name].append(look(way))
    return {name: np.array(values) for name, values in taken.items()}, missing


def spread(values: np.ndarray) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": float(np.median(values)), "low": float(values.min()), "high": float(values.max())}


def main() -> int:
    """Measures five decimals and the shortest text of a float64, and writes the results."""
    from benchmarks.common import RESULTS, table, where

    warnings.filterwarnings("ignore", category=DeprecationWarning)
    forms = {"five decimals": "{:.5f}".format, "shortest float64 of noise": lambda v: repr(v * 1.0000001)}
    found: dict[str, object] = {"records": RECORDS, "length": LENGTH, "rounds": ROUNDS}
    lines = [f"{RECORDS} records of {LENGTH} samples, {ROUNDS} rounds in turns, processor time of one thread.", ""]
    for form, text in forms.items():
        with TemporaryDirectory() as name:
            path = Path(name, "data.jsonl")
            written(path, text)
            size = path.stat().st_size / RECORDS
            taken, missing = race(path, Path(name, "work"))
        against = {name: taken[name] for name in (REFERENCE, LIBRARY) if name in taken}
        rows = [
            [n, *spread(t).values(), size / np.median(t), np.median(taken[REFERENCE] / t)] for n, t in taken.items()
        ]
        ratios = [[f"{READER} against {n}", *spread(t / taken[READER]).values()] for n, t in against.items()]
        if LOOKED in taken:
            ratios.append([f"{REREAD}, against {LOOKED}", *spread(taken[LOOKED] / taken[REREAD]).values()])
        lines += [f"## {form}: {size / 1000:.1f} kB a record", ""]
        lines += table(["way", "us a record", "low", "high", "MB/s", "x reference"], rows)
        lines += table(["ratio", "times", "low", "high"], ratios)
        found[form] = {
            "bytes_a_record": size,
            "microseconds_per_record": {n: spread(t) for n, t in taken.items()},
            "ratios": {row[0]: dict(zip(("median", "low", "high"), row[1:], strict=True)) for row in ratios},
            "missing": missing,
        }
        if missing:
            lines += [f"Not installed: {', '.join(missing)}.", ""]
    lines.append(
        "Whole ingest adds a sha256 of every record and of the file, quality verdicts, the index and the matrix on disk; "
        "its hashes alone cost most of the difference where the processor has no SHA instructions."
    )
    folder = RESULTS / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    about = where()
    head = f"{about['date']}, {about['cpu']}, load of the machine {about['load']}, Python {about['python']}"
    (folder / "ingest.json").write_text(json.dumps({"about": about, **found}, indent=1) + "\n")
    (folder / "ingest.md").write_text("\n".join(["# speed of ingest", "", head, "", *lines, ""]))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
