"""What plugins cost their authors and users: listing them, checking them, the lines of a detector.

    python -m benchmarks.run plugins

Goals: ``vibro plugins list`` 0.8 s with a warm cache, ``vibro plugins check`` 10 s for a classical detector and 90 s for
a deep one, a detector with its hook in 30 lines.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import VIBRO, measure, table, write

LIST, CLASSICAL, DEEP, LINES = 0.8, 10.0, 90.0, 30
ROUNDS = 9
PAGE = Path(__file__).parents[1] / "docs" / "plugin-authors.md"


def listing() -> dict[str, float]:
    """Seconds of ``vibro plugins list`` beside a third party's plugin that was probed before."""
    text = re.findall(r"^```python file=\S*src/\S+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "knn_of_the_page.py").write_text(text)
        overlay = Path(folder, "registry.toml")
        overlay.write_text('[plugins.knn_of_the_page]\nmodule = "knn_of_the_page"\n')
        os.environ |= {"PYTHONPATH": folder, "VIBRO_CACHE_DIR": f"{folder}/cache"}
        command = [*VIBRO, "plugins", "list", "--registry", str(overlay)]
        cold = measure(command, threads=1)
        runs = [measure(command, threads=1) for _ in range(ROUNDS)]
        bare = [measure([*VIBRO, "plugins", "list"], threads=1) for _ in range(ROUNDS)]
    if cold.code or "knn_spectrum" not in runs[0].output:
        raise RuntimeError(runs[0].output)
    return {
        "cold": cold.seconds,
        "warm": statistics.median(r.seconds for r in runs),
        "bundled": statistics.median(r.seconds for r in bare),
        "lines": float(sum(bool(line.strip()) for line in text.splitlines())),
    }


def checks() -> list[dict[str, Any]]:
    """Seconds and outcome of ``vibro plugins check`` of every bundled detector."""
    from vibro.host.manager import PluginHost

    out = []
    for cls in PluginHost.create(autoload=False).components("detector"):
        done = measure([*VIBRO, "plugins", "check", cls.name, "--json"], threads=1)
        found = json.loads(done.output[done.output.index("{") :])["components"][0]["checks"]
        out.append(
            {
                "detector": cls.name,
                "deep": "torch" in cls.requires,
                "seconds": done.seconds,
                "cpu_seconds": done.cpu_seconds,
                "checks": len(found),
                "failed": [c["name"] for c in found if c["status"] == "failed"],
            }
        )
    return out


def main() -> int:
    """Measures, writes ``results/plugins`` and says which figure was missed."""
    times, found = listing(), checks()
    missed = [f"{k}: {times[k]:.2f} s" for k in ("warm", "bundled") if times[k] > LIST]
    missed += [f"{times['lines']:.0f} lines"] if times["lines"] > LINES else []
    for row in found:
        if row["failed"] or row["seconds"] > (DEEP if row["deep"] else CLASSICAL):
            missed.append(f"check {row['detector']}: {row['seconds']:.1f} s, failed: {row['failed']}")
    lines = [f"## `vibro plugins list` (goal {LIST} s with a warm cache), median of {ROUNDS}", ""]
    lines += table(
        ("", "seconds"),
        [
            ("bundled plugins", times["bundled"]),
            ("and an isolated one, probed before", times["warm"]),
            ("and an isolated one, probed now", times["cold"]),
        ],
    )
    lines += [f"The detector of docs/plugin-authors.md with its hook: {times['lines']:.0f} lines (goal {LINES}).", ""]
    lines += [f"## `vibro plugins check` (goal {CLASSICAL:.0f} s, deep {DEEP:.0f} s)", ""]
    rows = [(r["detector"], r["checks"], len(r["failed"]), r["seconds"], r["cpu_seconds"]) for r in found]
    lines += table(("detector", "checks", "failed", "seconds", "processor seconds"), rows)
    lines += ["Missed:" if missed else "Nothing missed.", "", *(f"- {text}" for text in missed)]
    write("plugins", {"list": times, "check": found, "missed": missed}, lines)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
