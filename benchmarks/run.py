"""``python -m benchmarks.run [NAME ...]``: measures and writes ``benchmarks/results/NAME``; without a name, lists them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = (
    "aeon_peers",
    "cost",
    "house",
    "plugins",
    "verdict",
    "cuts",
    "speed.ingest",
    "speed.tables",
    "speed.zerone",
    "speed.cwt",
    "speed.cache",
    "speed.memory",
)


def main(names: list[str]) -> int:
    """Runs scripts of this folder and suites of ``suites/`` by name."""
    suites = {path.stem: path for path in sorted((HERE / "suites").glob("*.toml"))}
    scripts = [name for name in SCRIPTS if (HERE / f"{name.replace('.', '/')}.py").is_file()]
    if not names:
        print("scripts:", *scripts)
        print("suites: ", *suites)
        print("usage:   python -m benchmarks.run NAME ...; recordings are read from the folder VIBRO_TEST_DATA")
        return 0
    for name in names:
        if name in scripts:
            code = importlib.import_module(f"benchmarks.{name}").main()
        elif name in suites:
            from benchmarks.suite import run

            code = run(suites[name], HERE / "results" / name)
        else:
            print(f"unknown benchmark {name!r}: {', '.join([*scripts, *suites])}", file=sys.stderr)
            return 2
        if code:
            return int(code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
