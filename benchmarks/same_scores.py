"""Whether two checkouts give the same scores: ``python -m benchmarks.same_scores BEFORE AFTER [--keep DIR] [--only TEXT]``.

Runs `quick` and `default` on simulated transformers (seeds 0 to 2) and, with VIBRO_TEST_DATA, on three real sets in both
checkouts, each with its own `engine/` and `plugins/`, and compares `scores.csv` byte by byte and every tensor of the model.
Where bytes differ it says by how much and whether any level changed. Exit 1 if a score differs by more than 1e-6 or a
level at all. With --keep the runs of a clean commit are kept and not repeated.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

TOLERANCE = 1e-6
ENSEMBLES = ("quick", "default")
SEEDS = (0, 1, 2)
REAL = {"adi_motor": "10000", "pronostia": "25600", "ecg5000": "140"}  # Hz; a heart beat is taken to last a second


def cases() -> Iterator[tuple[str, list[str]]]:
    """Name of each run and its command line without the run directory."""
    for ensemble in ENSEMBLES:
        for seed in SEEDS:
            yield f"demo-{seed}-{ensemble}", ["demo", "--ensemble", ensemble, "--seed", str(seed)]
        data = os.environ.get("VIBRO_TEST_DATA")
        for name, fs in REAL.items() if data else ():
            path = Path(str(data)) / name / f"{name}.npz"
            yield f"{name}-{ensemble}", ["ensemble", "run", str(path), "--fs", fs, "--ensemble", ensemble]


def run(checkout: Path, command: list[str], out: Path) -> None:
    """Runs a command of that checkout into ``out``, unless a finished run lies there; its output on failure."""
    if (out / "summary.json").exists() and (out / "report.html").exists():
        return
    paths = os.pathsep.join(str(checkout / part) for part in ("engine", "plugins"))
    environment = {**os.environ, "PYTHONPATH": paths, "VIBRO_CACHE_DIR": str(out.parent / "cache")}
    line = [sys.executable, "-m", "vibro", *command, "-o", str(out), "--force", "--quiet"]
    done = subprocess.run(line, env=environment, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{checkout}: {' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")


def table(out: Path) -> dict[str, list[str]]:
    """Columns of a run's scores.csv."""
    with (out / "scores.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    return {name: [row[j] for row in rows[1:]] for j, name in enumerate(rows[0])}


def compare(before: Path, after: Path) -> tuple[str, bool]:
    """What differs between two runs in words, and whether that is within the tolerance."""
    notes, good = [], True
    if (before / "scores.csv").read_bytes() == (after / "scores.csv").read_bytes():
        notes.append("scores.csv: same bytes")
    else:
        a, b = table(before), table(after)
        worst = {}
        for name in a.keys() & b.keys():
            if name in ("score", "p_value", "agreement", "confidence") or name.startswith("z_"):
                x, y = (np.array([float(v or "nan") for v in t[name]]) for t in (a, b))
                worst[name] = float(np.nanmax(np.abs(x - y), initial=0.0))
                good &= bool((np.isnan(x) == np.isnan(y)).all())
        moved = sum(x != y for x, y in zip(a["level"], b["level"], strict=True))
        name = max(worst, key=lambda n: worst[n])
        good &= worst["score"] <= TOLERANCE and moved == 0 and a.keys() == b.keys()
        notes.append(
            f"scores.csv: score within {worst['score']:.2g}, worst {name} {worst[name]:.2g}, {moved} levels moved"
        )
    x, y = (tensors(out) for out in (before, after))
    notes.append("tensors: same bytes" if x == y else f"tensors: {sum((x - y).values())} of {sum(x.values())} differ")
    return "; ".join(notes), good


def tensors(out: Path) -> Counter[tuple[str, tuple[int, ...], bytes]]:
    """Every tensor of a model by its content, for names of keys may differ."""
    files = sorted((out / "model").rglob("*.safetensors"))
    return Counter((str(a.dtype), a.shape, a.tobytes()) for file in files for a in load_file(file).values())


def version(checkout: Path) -> str:
    """Commit of a clean checkout; of a changed one a name that no kept run has."""
    git = ["git", "-C", str(checkout)]
    commit = subprocess.run(
        [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
    ).stdout
    dirty = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    return commit.strip() + (f"-changed-{os.getpid()}" if dirty else "")


def main() -> None:
    """Compares the checkouts, one line per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--keep", type=Path, help="folder in which runs are kept")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        keep = (options.keep or Path(folder)).resolve()
        for name, command in cases():
            if options.only not in name:
                continue
            outs = []
            for checkout in (options.before.resolve(), options.after.resolve()):
                outs.append(keep / version(checkout) / name)
                outs[-1].parent.mkdir(parents=True, exist_ok=True)
                run(checkout, command, outs[-1])
            text, fine = compare(*outs)
            good &= fine
            print(f"{'ok  ' if fine else 'DIFF'} {name}: {text}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
