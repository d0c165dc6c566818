"""Trains the weights that ship with vibro, on simulated machines alone: the same file from the same command.

    python -m benchmarks.pretrain_weights [OUT]

Data are written by ``vibro data simulate``, weights made by ``vibro pretrain``; by default they replace the bundled file.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import VIBRO

PRESETS = ("transformer", "transformer-60hz", "transformer-field", "bearing")
RATES = (2048, 4096, 8192, 16384)
PLANTS = 3  # of each preset and rate
BUNDLED = Path(__file__).parents[1] / "plugins" / "vibro_plugins" / "deep" / "encoder.safetensors"


def main(words: list[str]) -> int:
    """Simulates and trains."""
    out = Path(words[0]) if words else BUNDLED
    with TemporaryDirectory() as folder:
        made = []
        for seed, (preset, rate, plant) in enumerate(product(PRESETS, RATES, range(PLANTS))):
            name = Path(folder) / f"{preset}-{rate}-{plant}"
            size = ["--records", "150", "--units", "3", "--sensors", "5", "--faults", "0.02" if seed % 2 else "0"]
            about = ["--preset", preset, "--fs", str(rate), "--seed", str(2001 + seed), "--format", "npz"]
            subprocess.run([*VIBRO, "data", "simulate", *size, *about, "-o", str(name), "--quiet"], check=True)
            made.append(str((name / "data.npz").rename(name.with_suffix(".npz"))))
        fresh = Path(folder) / "encoder.safetensors"
        code = subprocess.run([*VIBRO, "pretrain", *made, "-o", str(fresh), "--device", "cpu"]).returncode
        if code == 0:
            out.write_bytes(fresh.read_bytes())
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
