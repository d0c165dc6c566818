"""Peak memory of importing one large file, by kind and size, beyond the matrix of its samples.

    python -m benchmarks.speed.large [KIND ...]

Writes ``benchmarks/results/speed/large.json`` and ``.md``; named kinds replace their rows there. Each file is written to a
temporary folder and imported by ``vibro.ingest`` in a process of its own. Memory is the highest resident set, which counts
the program and its libraries, less the samples of one channel matrix (float32); a bound of 400 MB is asked for. A file whose
library is not installed is left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np

SIZES = (0.25, 0.5, 1.0)  # GB
WINDOW = "4096"
BOUND = 400  # MB
FS = 10_000
PART = 1 << 18


def _noise(part: int) -> np.ndarray:
    return np.random.default_rng(part).normal(0, 1, PART).astype(np.float32)


def _text(path: Path, size: float, header: str, times: Callable[[int, int], list[str]]) -> None:
    """Lines of a time and a sample until the file has its size."""
    place, values = 0, [f"{value:.4f}\n" for value in _noise(0)]
    with path.open("w") as out:
        out.write(header)
        while out.tell() < size * 1e9:
            values = values[7:] + values[:7]  # so that no two windows are the same
            out.write("".join(map(str.__add__, times(place, PART), values)))
            place += PART


def _stamps(start: int, count: int) -> list[str]:
    """Times of day and date; microseconds."""
    begin = np.datetime64("2024-03-01T08:00:00", "us") + np.timedelta64(start * 100, "us")
    return [f"{text}," for text in np.datetime_as_string(begin + np.arange(count) * np.timedelta64(100, "us"))]


def csv_seconds(path: Path, size: float) -> None:
    """A column of seconds and one of samples."""
    _text(path, size, "time,acc\n", lambda a, n: [f"{i / FS:.4f}," for i in range(a, a + n)])


def csv_stamps(path: Path, size: float) -> None:
    """A column of dates with times and one of samples."""
    _text(path, size, "time,acc\n", _stamps)


def csv_plain(path: Path, size: float) -> None:
    """A column of samples."""
    _text(path, size, "acc\n", lambda a, n: [""] * n)


def wav(path: Path, size: float) -> None:
    """Mono, 16 bits."""
    import wave

    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, FS, 0, "NONE", ""))
        for k in range(int(size * 1e9 / 2 / PART)):
            out.writeframesraw((_noise(k) * 3000).astype("<i2").tobytes())


def hdf5(path: Path, size: float) -> None:
    """One data set of float32."""
    import h5py

    parts = int(size * 1e9 / 4 / PART)
    with h5py.File(path, "w") as file:
        values = file.create_dataset("acc", (parts * PART,), "f4")
        values.attrs["fs"] = FS
        for k in range(parts):
            values[k * PART : (k + 1) * PART] = _noise(k)


def tdms(path: Path, size: float) -> None:
    """One channel of float32."""
    from nptdms import ChannelObject, TdmsWriter

    with TdmsWriter(str(path)) as out:
        for k in range(int(size * 1e9 / 4 / PART)):
            out.write_segment([ChannelObject("g", "acc", _noise(k), properties={"wf_increment": 1 / FS})])


def matlab(path: Path, size: float) -> None:
    """One variable of doubles, version 5."""
    from scipy.io import savemat

    parts = [_noise(k) for k in range(int(size * 1e9 / 8 / PART))]
    savemat(path, {"acc": np.concatenate(parts).astype(np.float64)})


KINDS: dict[str, tuple[str, Callable[[Path, float], None], str]] = {
    "csv, seconds": (".csv", csv_seconds, "pyarrow"),
    "csv, dates": (".csv", csv_stamps, "pyarrow"),
    "csv, one column": (".csv", csv_plain, "pyarrow"),
    "wav": (".wav", wav, "numpy"),
    "hdf5": (".h5", hdf5, "h5py"),
    "tdms": (".tdms", tdms, "nptdms"),
    "matlab": (".mat", matlab, "scipy"),
}


def one(path: Path, window: str) -> dict[str, float]:
    """Imports a file in this process."""
    from vibro.api import Context
    from vibro.host.manager import PluginHost
    from vibro.ingest import IngestOptions, ingest

    host = PluginHost.create()
    readers = [cls.make({}, Context()) for cls in host.components("reader")]
    options = IngestOptions(fs=None if path.suffix == ".wav" else float(FS), window=window or None)
    begun = process_time()
    with TemporaryDirectory(dir=path.parent) as work:
        got = ingest([path], readers, options, Path(work, "ingest"), lambda event: None)
        samples = got.batch.x.size
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "peak": 1024 * int(status["VmHWM"].split()[0]) / 1e6,
        "matrix": 4 * samples / 1e6,
        "seconds": process_time() - begun,
    }


def main(names: Sequence[str] = ()) -> int:
    """Measures, writes the results; exit code 1 where something takes more than the bound."""
    if names and names[0] == "--one":
        print(json.dumps(one(Path(names[1]), names[2])))
        return 0
    from benchmarks.common import RESULTS

    target = RESULTS / "speed" / "large.json"
    known = {tuple(row[:3]): row for row in json.loads(target.read_text())["rows"]} if target.is_file() else {}
    for kind in names or KINDS:
        ending, write, library = KINDS[kind]
        if find_spec(library) is None:
            print(f"left out: {kind} ({library} is not installed)")
            continue
        for size in SIZES:
            with TemporaryDirectory() as folder:
                path = Path(folder, f"a{ending}")
                write(path, size)
                for window in ("", WINDOW):
                    command = [sys.executable, "-m", "benchmarks.speed.large", "--one", str(path), window]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        raise SystemExit(f"{kind}: {done.stderr[-2000:]}")
                    got = json.loads(done.stdout.splitlines()[-1])
                    row = [kind, size, window or "uncut", got["peak"], got["matrix"], got["peak"] - got["matrix"]]
                    known[tuple(row[:3])] = [*row, got["seconds"]]
                    print(*row, flush=True)
            lines, worst = report(
                target, sorted(known.values(), key=lambda row: (list(KINDS).index(row[0]), *row[1:3]))
            )
    print("\n".join(lines))
    return int(worst > BOUND)


def report(target: Path, rows: list[list[Any]]) -> tuple[list[str], float]:
    """Writes the results; returns the table and the most memory beyond a matrix in MB."""
    from benchmarks.common import table, where

    about = where()
    target.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    head = f"{about['date']}, {about['cpu']}, load of the machine {about['load']}, Python {about['python']}"
    worst = max(rows, key=lambda row: row[5])
    lines = table(["file", "GB", "window", "peak MB", "matrix MB", "beyond MB", "CPU s"], rows)
    lines.append(f"\nMost beyond the matrix: {worst[5]:.0f} MB ({worst[0]}, {worst[1]} GB) of {BOUND} MB allowed.")
    target.with_suffix(".md").write_text("\n".join(["# memory of large files", "", head, "", *lines, ""]))
    return lines, worst[5]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
