"""Writes constraints-hashes.txt from constraints.txt: the SHA-256 that pip's index states of each file it would install.

`make hashes`, with Python 3.11 on Linux, x86-64: of a package that is built for each platform the file holds that one's hash.
Nothing is installed. torch is left out: its builds for CPU and CUDA share a version and come from several indexes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
LEFT_OUT = "torch"
HEAD = """# constraints.txt with hashes, made by `make hashes` with CPython 3.11 on Linux, x86-64; other platforms need others.
# Without torch, whose builds share a version: install it first (README), then these with --require-hashes --no-deps.
"""


def main() -> None:
    """Asks pip what it would install, and writes the hashes in the order of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith(("#", f"{LEFT_OUT}=="))]
    with TemporaryDirectory() as folder:
        wanted, report = Path(folder, "wanted.txt"), Path(folder, "report.json")
        wanted.write_text("\n".join(pins))
        options = ["--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:", "--quiet"]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, "--report", report, "-r", wanted], check=True)
        found = json.loads(report.read_text())["install"]
    hashes = {_plain(f["metadata"]["name"]): f["download_info"]["archive_info"]["hashes"]["sha256"] for f in found}
    text = "".join(f"{pin} --hash=sha256:{hashes[_plain(pin.partition('==')[0])]}\n" for pin in pins)
    (ROOT / "constraints-hashes.txt").write_text(HEAD + text)


def _plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    main()
