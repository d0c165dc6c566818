"""What the scripts share: a command in a process of its own with its time and memory, and files of results."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

RESULTS = Path(__file__).parent / "results"
VIBRO = (sys.executable, "-m", "vibro")


@dataclass(frozen=True)
class Measured:
    """Wall and processor seconds, peak memory in MB, exit code and stdout of one command."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    code: int
    output: str


def measure(command: Sequence[str], threads: int | None = None) -> Measured:
    """Runs a command; ``threads`` sets the size of every thread pool, None leaves it to the program."""
    env = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        env.pop(name, None)
        if threads is not None:
            env[name] = str(threads)
    begun = perf_counter()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = perf_counter() - begun
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(seconds, cpu, usage.ru_maxrss / 1024, process.returncode, output)


def write(name: str, found: Mapping[str, Any], lines: Sequence[str]) -> None:
    """``results/NAME/NAME.json`` and ``.md``, with machine, versions and commit."""
    folder = RESULTS / name
    folder.mkdir(parents=True, exist_ok=True)
    about = {"about": where(), **found}
    (folder / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n")
    a = about["about"]
    head = [
        f"{a['date']}, commit {a['commit']}, {a['cpu']}, {a['cores']} cores, load {a['load']}, Python {a['python']}"
    ]
    (folder / f"{name}.md").write_text("\n".join([f"# {name}", "", *head, "", *lines, ""]))
    print("\n".join(lines))


def where() -> dict[str, Any]:
    """Machine, versions, commit and the load of others on the machine."""
    from vibro.store.manifest import libraries, machine

    here = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "load": round(os.getloadavg()[0], 1),
        **machine(),
        "python": platform.python_version(),
        "libraries": libraries(),
    }


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table."""

    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(headers) + " |", "|" + " --- |" * len(headers)]
    return [*lines, *("| " + " | ".join(map(cell, row)) + " |" for row in rows), ""]


def sources() -> str:
    """Hash of the program's own files: a figure holds for one state of them."""
    root = Path(__file__).parent.parent
    digest = sha256((root / "registry.toml").read_bytes())
    for path in sorted([*root.glob("engine/**/*.py"), *root.glob("plugins/**/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
