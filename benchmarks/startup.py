"""How long ``vibro --help`` takes beside the import of typer and rich alone: the least of many starts of each, in turn."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

CASES = {
    "import typer and rich": "import typer, rich.console, rich.table, rich.panel",
    "vibro --help": "from vibro.cli import run; run(['--help'])",
    "vibro score --help": "from vibro.cli import run; run(['score', '--help'])",
    "import vibro": "import vibro",
    "python": "pass",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=15)
    starts = parser.parse_args().starts
    least = dict.fromkeys(CASES, float("inf"))
    for _ in range(starts):
        for name, code in CASES.items():
            clock = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
            least[name] = min(least[name], time.perf_counter() - clock)
    base = least["import typer and rich"]
    print("| start of | seconds | times typer and rich |\n| --- | --- | --- |")
    for name, seconds in least.items():
        print(f"| {name} | {seconds:.3f} | {seconds / base:.2f} |")


if __name__ == "__main__":
    main()
