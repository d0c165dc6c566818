"""The everyday uses: Python against the command, a watched folder, drift, the cause of a changed verdict, the start.

    python -m benchmarks.daily                # all parts
    python -m benchmarks.daily watch memory=2000

Parts: ``api`` (records), ``rate``, ``watch`` and ``memory`` (files), ``drift`` (fits), ``diff`` (runs), ``distil`` (draws of
each real set, read from the folder VIBRO_TEST_DATA), ``startup`` (starts); the number after ``=`` is the size.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import VIBRO, measure, table, write

SIZES = {"api": 2000, "rate": 150, "watch": 1000, "memory": 10_000, "drift": 10, "diff": 20, "distil": 2, "startup": 15}
KILLS, WRITERS = 20, 3
DIFF = 240  # records of each run that is compared
FS, SHORT = 4096.0, 448
QUICK = "quick"


def signals(n: int, samples: int = SHORT, seed: int = 0, fs: float = FS) -> np.ndarray:
    """Hum with noise of a level that varies a little."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / fs
    x = np.sin(2 * np.pi * 200 * t + rng.uniform(0, 6, (n, 1))) + 0.3 * rng.standard_normal((n, samples))
    return (x * rng.uniform(0.9, 1.1, (n, 1))).astype(np.float32)


def times(n: int, first: int = 0) -> list[str]:
    """An hour apart."""
    start = np.datetime64("2024-01-01T00:00:00")
    return [f"{start + np.timedelta64(first + i, 'h')}Z" for i in range(n)]


def lines(x: np.ndarray, first: int = 0, fs: float = FS) -> list[str]:
    """Records as lines of JSON."""
    return [
        json.dumps({"sensor_id": "a", "data_time": when, "fs": fs, "signal_value": np.round(row, 5).tolist()}) + "\n"
        for row, when in zip(x.tolist(), times(len(x), first), strict=True)
    ]


def vibro(*argv: str) -> str:
    """Runs a command that has to succeed."""
    done = subprocess.run([*VIBRO, *argv], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr[-500:]}")
    return done.stdout


def rows(path: Path) -> list[dict[str, str]]:
    """A table, empty while there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


# --- api --------------------------------------------------------------------------------------------------------------

PYTHON = """
import sys
import numpy as np
import vibro
with np.load(sys.argv[1]) as data:
    X, sensor, time = data["signals"], data["sensor_id"], data["data_time"]
run = vibro.fit(X, fs=8192, sensor=sensor, time=time, ensemble="quick")
run.save(sys.argv[2])
"""


def api(size: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """``vibro.fit`` and ``vibro ensemble run`` on the same records in turn, and the bytes of what they give."""
    names = [f"s{i % 4}" for i in range(size)]
    np.savez(
        folder / "array.npz",
        signals=signals(size, 8192, fs=8192),
        fs=8192.0,
        sensor_id=names,
        data_time=[times(size)[i // 4] for i in range(size)],
    )
    seconds: dict[str, list[float]] = {"command": [], "python": []}
    for k in range(2):
        done = measure([sys.executable, "-c", PYTHON, str(folder / "array.npz"), str(folder / f"python{k}")])
        seconds["python"].append(done.seconds)
        line = ["ensemble", "run", str(folder / "array.npz"), "-o", str(folder / f"command{k}"), "--ensemble", QUICK]
        done = measure([*VIBRO, *line, "--no-report", "--quiet", "--executor", "serial"])
        seconds["command"].append(done.seconds)
    first, second = folder / "python0", folder / "command0"
    promised = ["scores.csv", "scores.parquet", "machines.csv", "quarantine.csv"]
    promised += [p.relative_to(second).as_posix() for p in sorted((second / "model").rglob("*.safetensors"))]
    same = sum((first / name).read_bytes() == (second / name).read_bytes() for name in promised)
    least = {name: min(values) for name, values in seconds.items()}
    found = {
        "records": size,
        "seconds": seconds,
        "ratio": least["python"] / least["command"],
        "files": len(promised),
        "same": same,
    }
    return found, [
        f"{size} x 8,192, `quick`, import and start included: python {least['python']:.1f} s, command {least['command']:.1f} s"
        f" (ratio {found['ratio']:.2f}); {same} of {len(promised)} files have the same bytes"
    ]


# --- watch ------------------------------------------------------------------------------------------------------------


def fitted(folder: Path, samples: int = SHORT, fs: float = FS) -> Path:
    """A model of ``quick``."""
    (folder / "fit.jsonl").write_text("".join(lines(signals(200, samples, fs=fs), fs=fs)))
    vibro("ensemble", "run", str(folder / "fit.jsonl"), "-o", str(folder / "fit"), "--ensemble", QUICK, "--no-report")
    return folder / "fit"


def rate(size: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Files of one record of 8,192 samples a second, on one core, start not included."""
    model, inbox = fitted(folder, 8192, 8192.0), folder / "in"
    inbox.mkdir()
    for i, text in enumerate(lines(signals(size, 8192, 1, 8192.0), 1000, 8192.0)):
        (inbox / f"r{i:05d}.jsonl").write_text(text)
    argv = [*VIBRO, "watch", str(inbox), "--model", str(model), "-o", str(folder / "out"), "--settle", "0.5"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun, count = None, 0
    while count < size:
        time.sleep(0.05)
        count = len(rows(folder / "out" / "scores.csv"))
        if count and begun is None:
            begun, first = time.perf_counter(), count
    seconds = time.perf_counter() - begun
    process.terminate()
    process.wait()
    found = {"files": size - first, "seconds": seconds, "files_per_second": (size - first) / seconds}
    return found, [f"{found['files_per_second']:.1f} files a second of 8,192 samples with `quick` on one core"]


def drop(inbox: Path, writer: int, texts: dict[str, str], pause: float) -> None:
    """Writes files at random times, a third of them in two parts with a pause between."""
    rng = np.random.default_rng(writer)
    for name, text in texts.items():
        time.sleep(float(rng.exponential(pause)))
        with (inbox / name).open("w") as handle:
            if rng.random() < 1 / 3:
                half = int(rng.integers(1, len(text)))
                handle.write(text[:half])
                handle.flush()
                time.sleep(float(rng.uniform(0, 1.5)))
                text = text[half:]
            handle.write(text)


def watch(size: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Three writers, half-written files, ``kill -9`` twenty times: what is scored, and whether a batch scores it so."""
    model, inbox, out = fitted(folder), folder / "in", folder / "out"
    inbox.mkdir()
    texts = {f"w{i % WRITERS}-{i:05d}.jsonl": text for i, text in enumerate(lines(signals(size, seed=1), 1000))}
    parts = [dict(list(texts.items())[w::WRITERS]) for w in range(WRITERS)]
    writers = [threading.Thread(target=drop, args=(inbox, w, part, 0.3)) for w, part in enumerate(parts)]
    argv = [*VIBRO, "watch", str(inbox), "--model", str(model), "-o", str(out), "--settle", "0.5", "--patience", "3600"]
    for writer in writers:
        writer.start()
    kills, rng = 0, np.random.default_rng(0)
    while kills < KILLS:
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun, least = len(rows(out / "scores.csv")), int(rng.integers(1, 2 * size // KILLS))
        end = time.monotonic() + 120
        while time.monotonic() < end and len(rows(out / "scores.csv")) < min(begun + least, size):
            time.sleep(float(rng.uniform(0.01, 0.05)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    for writer in writers:
        writer.join()
    vibro(*argv[len(VIBRO) :], "--once")
    vibro("score", str(model), str(inbox), "-o", str(folder / "batch"), "--no-report")
    scored, batch = rows(out / "scores.csv"), rows(folder / "batch" / "scores.csv")
    sources = [row["source"] for row in scored]
    skip = {"level", "reason"}
    plain = {row["record_id"]: {k: v for k, v in row.items() if k not in skip} for row in batch}
    same = sum(plain.get(row["record_id"]) == {k: v for k, v in row.items() if k not in skip} for row in scored)
    levels = {row["record_id"]: row["level"] for row in batch}
    other = sum(levels[row["record_id"]] != row["level"] for row in scored)
    found = {
        **{"files": size, "kills": kills, "scored": len(scored), "twice": len(sources) - len(set(sources))},
        **{"lost": size - len(set(sources)), "equal_to_batch": same, "other_level": other},
    }
    return found, [
        f"{size} files by {WRITERS} writers, {kills} kills: {len(scored)} records, {found['lost']} lost, {found['twice']} twice;"
        f" {same} lines equal those of a batch but for level and reason, {other} levels differ"
    ]


def memory(size: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Memory of a watch after every tenth of the files."""
    model, inbox, out = fitted(folder), folder / "in", folder / "out"
    inbox.mkdir()
    argv = [*VIBRO, "watch", str(inbox), "--model", str(model), "-o", str(out), "--settle", "0.2"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    held, clock = [], time.perf_counter()
    for part in range(10):
        texts = lines(signals(size // 10, seed=part), 1000 + part * size)
        for i, text in enumerate(texts):
            (inbox / f"p{part}-{i:05d}.jsonl").write_text(text)
        while (
            sum(1 for _ in (out / "scores.csv").open()) - 1 < (part + 1) * (size // 10)
            if (out / "scores.csv").exists()
            else True
        ):
            time.sleep(0.2)
        held.append(held_by(process.pid))
    seconds = time.perf_counter() - clock
    process.terminate()
    process.wait()
    own = [mb["RssAnon"] for mb in held]
    found = {"files": size, "mb": held, "growth_mb": own[-1] - own[1], "files_per_second": size / seconds}
    return found, [
        f"{size} files: {own[0]:.1f} MB of its own after a tenth, {own[1]:.1f} after two, {own[-1]:.1f} MB at the end,"
        f" {held[-1]['VmRSS']:.0f} MB with mapped files such as libraries"
        f" ({size / seconds:.0f} files a second of {SHORT} samples)"
    ]


def held_by(pid: int) -> dict[str, float]:
    """MB that a process holds: all, and that which no file backs; the rest comes and goes with the memory others need."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(status[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon")}


# --- drift, diff, startup ---------------------------------------------------------------------------------------------


def drift(size: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """False alarms of the population test on records like those of the fit, and what of a louder hum it finds."""
    import vibro as api
    from vibro.scoring.drift import ALPHA, BLOCK
    from vibro.scoring.drift import drift as test
    from vibro.store.bundle import load

    counts = {name: [0, 0] for name in ("none", "5 %", "10 %")}
    for seed in range(size):
        run = api.fit(signals(300, seed=100 + seed), fs=FS, ensemble=QUICK)
        reference = load(run.path / "model").tensors["reference"]["fused"]
        for name, gain in (("none", 1.0), ("5 %", 1.05), ("10 %", 1.1)):
            new = run.score(gain * signals(20 * BLOCK if gain == 1.0 else 2 * BLOCK, seed=200 + seed))
            score = new.verdicts["score"]
            for start in range(0, len(score), BLOCK):
                counts[name][0] += 1
                counts[name][1] += test(score[start : start + BLOCK], reference).found
    found = {"alpha": ALPHA, "block": BLOCK, "fits": size, "tests": {k: v[0] for k, v in counts.items()}}
    found["alarms"] = {k: v[1] for k, v in counts.items()}
    told = ", ".join(f"louder by {k}: {v[1]} of {v[0]}" for k, v in counts.items())
    return found, [f"blocks of {BLOCK} records, stated {ALPHA} a test; drifts found, {told}"]


USUAL = """
detectors = [
  { use = "mahalanobis", trim = 0.1, view = { use = "per_sensor", of = "spectrum" } },
  { use = "pyod", id = "knn", model = "KNN", settings = { n_neighbors = 5 }, view = { use = "per_sensor", of = "spectrum" } },
]
calibration = { method = "robust", linear = 10.0 }
fuser = { use = "weighted_mean" }
thresholder = { use = "quantile" }
budgets = { attention = 0.08, alarm = 0.02 }
"""


def planted() -> list[tuple[str, str, Callable[[str], str], dict[str, Any]]]:
    """(part, what, change of the ensemble's text, other options) of twenty runs."""

    def swap(old: str, new: str) -> Callable[[str], str]:
        assert old in USUAL
        return lambda text: text.replace(old, new)

    whole, second = (
        'view = { use = "per_sensor", of = "spectrum" } },\n]',
        'trim = 0.1, view = { use = "per_sensor", of = "spectrum" }',
    )
    same = swap("detectors", "detectors")
    return [
        ("data", "a tenth of the records is louder", same, {"louder": 10}),
        ("data", "one record is louder", same, {"louder": 400}),
        ("data", "other baseline", same, {"argv": ["--fit-on", "first:0.4"]}),
        ("view", "no baseline of each sensor", swap(second, 'trim = 0.1, view = "spectrum"'), {}),
        ("view", "mains lines instead of the spectrum", swap(second, second.replace("spectrum", "mains")), {}),
        ("view", "other view of the second", swap(whole, whole.replace("spectrum", "mains")), {}),
        ("detector", "neighbours", swap("n_neighbors = 5", "n_neighbors = 60"), {}),
        ("detector", "no reweighting", swap("trim = 0.1", "trim = 0.45, reweight = false"), {}),
        ("detector", "other model", swap('"KNN", settings = { n_neighbors = 5 }', '"HBOS"'), {}),
        (
            "detector",
            "one more",
            swap("\n]\ncal", '\n  { use = "rise", view = { use = "per_sensor", of = "spectrum" } },\n]\ncal'),
            {},
        ),
        ("detector", "three axes", swap('model = "KNN"', 'model = "KNN", pca = 3'), {}),
        ("calibration", "mean and deviation", swap('"robust"', '"z"'), {}),
        ("calibration", "ranks", swap('"robust"', '"ecdf"'), {}),
        ("calibration", "compression", swap("linear = 10.0", "linear = 0.5"), {}),
        ("weight", "maximum", swap('"weighted_mean"', '"max"'), {}),
        (
            "weight",
            "one member",
            swap('"weighted_mean"', '"weighted_mean", weights = { mahalanobis = 1.0, knn = 0.0 }'),
            {},
        ),
        ("weight", "Cauchy", swap('"weighted_mean"', '"cauchy"'), {}),
        ("cut", "budget", swap("alarm = 0.02", "alarm = 0.07"), {}),
        ("cut", "thresholder", swap('"quantile"', '"mad"'), {}),
        ("cut", "attention", swap("attention = 0.08", "attention = 0.2"), {}),
    ]


def diff(size: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Runs that differ in one part: whether that part is named, and by how many of the changed verdicts."""

    def run(name: str, change: Callable[[str], str], louder: int = 0, argv: list[str] | None = None) -> Path:
        x = signals(DIFF)
        x[1::2] *= (
            np.random.default_rng(3).lognormal(0, 0.25, (DIFF // 2, 1)).astype(np.float32)
        )  # b varies more than a
        x[::37] *= np.float32(1.6)
        if louder:
            x[::louder] *= 3
        data = folder / f"{name}.npz"
        np.savez(
            data,
            signals=x,
            fs=FS,
            sensor_id=["a", "b"] * (DIFF // 2),
            data_time=[times(DIFF)[i // 2] for i in range(DIFF)],
        )
        (folder / f"{name}.toml").write_text(change(USUAL))
        line = ["ensemble", "run", str(data), "-o", str(folder / name), "--ensemble", str(folder / f"{name}.toml")]
        vibro(*line, "--no-report", *(argv or []))
        return folder / name

    base = run("usual", lambda text: text)
    rows_, hits = [], 0
    for k, (part, what, change, options) in enumerate(planted()[:size]):
        told = json.loads(vibro("diff", str(base), str(run(f"r{k}", change, **options)), "--json"))
        named = sorted({entry["part"] for entry in told["parts"]})
        right = named == [part] and set(told["causes"]) <= {part} and bool(told["causes"])
        hits += right
        rows_.append(
            [
                part,
                what,
                len(told["changed"]),
                ", ".join(f"{k} {v}" for k, v in told["causes"].items()),
                "yes" if right else "no",
            ]
        )
    found = {"runs": len(rows_), "right": hits, "rows": rows_}
    return found, [
        f"{hits} of {len(rows_)} planted causes found",
        "",
        *table(["planted", "what", "verdicts changed", "causes named", "right"], rows_),
    ]


# --- distil -----------------------------------------------------------------------------------------------------------

REAL = {"adi_motor": 4096, "cwru_0hp": 1024, "mfpt": 0, "pronostia": 0}  # samples of a window, 0 = whole records
MOST_NORMAL, FAULTS = 360, 0.1  # normal records of a pool at most; share of faults


def pool(name: str, window: int, seed: int, folder: Path) -> Path:
    """Normal records of a real set with a few faults, and their labels, as files."""
    with np.load(Path(os.environ["VIBRO_TEST_DATA"]) / name / f"{name}.npz", allow_pickle=False) as file:
        x, columns, fs = file["signals"], [file[key] for key in ("label", "sensor_id", "source_file")], file["fs"]
    if window:
        parts = x.shape[1] // window
        x = x[:, : parts * window].reshape(-1, window)
        columns = [np.repeat(column, parts) for column in columns]
    y, sensor, recording = columns
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(y == 0))[:MOST_NORMAL]
    faults = rng.permutation(np.flatnonzero(y == 1))[: max(3, round(len(normal) * FAULTS / (1 - FAULTS)))]
    rows_ = np.sort(np.concatenate([normal, faults]))
    np.savez(folder / "data.npz", signals=x[rows_], fs=fs, sensor_id=sensor[rows_], recording=recording[rows_])
    lines_ = [f"data.npz,{i},{label}\n" for i, label in enumerate(y[rows_])]
    (folder / "labels.csv").write_text("source,row,label\n" + "".join(lines_))
    return folder / "data.npz"


def distil(size: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Students of 256 kB of the demo and of pools of real sets: average precision on records that were held out."""
    if "VIBRO_TEST_DATA" not in os.environ:
        raise SystemExit("the real sets are read from the folder VIBRO_TEST_DATA, which is not set")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, seed in [("demo", 0), *((name, seed) for name in REAL for seed in range(size))]:
        place = folder / f"{name}{seed}"
        place.mkdir()
        if name == "demo":
            vibro("demo", "-o", str(place / "run"), "--quiet")
            moved = ["--data", str(place / "run" / "data" / "data.jsonl")]
        else:
            data = pool(name, REAL[name], seed, place)
            labels, moved = str(place / "labels.csv"), []
            line = ["ensemble", "run", str(data), "-o", str(place / "run"), "--labels", labels, "--seed", str(seed)]
            vibro(*line, "--ensemble", QUICK, "--no-report")
        argv = ["distil", str(place / "run"), "-o", str(place / "student"), "--seed", str(seed), *moved]
        told = json.loads(vibro(*argv, "--json"))
        keys = ("networks", "bytes", "held_out", "length", "seconds_per_record")
        found.setdefault(name, []).append({key: told[key] for key in keys})
        print(name, seed, found[name][-1]["held_out"], flush=True)
    rows_ = []
    for name, draws in found.items():
        mean = {
            who: float(np.mean([d["held_out"]["labels"][who] for d in draws])) for who in draws[0]["held_out"]["labels"]
        }
        last = draws[-1]
        rows_.append(
            [name, len(draws), last["held_out"]["records"], last["held_out"]["by"]]
            + [f"{mean[who]:.3f}" for who in ("teacher", "float16", "int8")]
            + [f"{mean[who] / mean['teacher']:.3f}" for who in ("float16", "int8")]
            + [f"{np.mean([d['held_out']['rank_correlation']['float16'] for d in draws]):.2f}"]
            + [f"{last['bytes'][f'student{kind}.safetensors'] / 1024:.0f}" for kind in ("", "-int8")]
            + [last["length"], f"{1e3 * min(d['seconds_per_record'] for d in draws):.1f}"]
        )
    head = [
        "records of",
        "draws",
        "records",
        "held out by",
        "teacher AP",
        "student AP",
        "int8 AP",
        "kept",
        "int8 keeps",
    ]
    head += ["rank correlation", "KiB", "int8 KiB", "samples", "ms a record"]
    return {"draws": found}, table(head, rows_)


STARTS = {
    "import typer and rich": "import typer, rich.console, rich.table, rich.panel",
    "vibro --help": "from vibro.cli import run; run(['--help'])",
    "vibro score --help": "from vibro.cli import run; run(['score', '--help'])",
    "import vibro": "import vibro",
}


def startup(size: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The least of many starts of each, in turn."""
    least = dict.fromkeys(STARTS, float("inf"))
    for _ in range(size):
        for name, code in STARTS.items():
            clock = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
            least[name] = min(least[name], time.perf_counter() - clock)
    base = least["import typer and rich"]
    found = {"starts": size, "seconds": least, "help_ratio": least["vibro --help"] / base}
    return found, table(
        ["start of", "seconds", "ratio"], [[n, f"{s:.3f}", f"{s / base:.2f}"] for n, s in least.items()]
    )


PARTS = {
    "api": api,
    "rate": rate,
    "watch": watch,
    "memory": memory,
    "drift": drift,
    "diff": diff,
    "distil": distil,
    "startup": startup,
}


def main(argv: list[str]) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for text in argv or list(PARTS):
        name, _, size = text.partition("=")
        with tempfile.TemporaryDirectory(prefix="vibro-daily-") as folder:
            found, said = PARTS[name](int(size or SIZES[name]), Path(folder))
        write(f"daily_{name}", found, said)


if __name__ == "__main__":
    main(sys.argv[1:])
