"""Every pinned version has the hash of its file, so that ``make hashes`` is not forgotten."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lines(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]


def test_every_pin_but_torchs_has_a_hash_and_names_no_address():
    pins = [pin for pin in lines("constraints.txt") if not pin.startswith("torch==")]
    assert len(pins) > 100 and len(pins) == len(lines("constraints.txt")) - 1
    hashed = [re.fullmatch(r"(\S+==\S+) --hash=sha256:[0-9a-f]{64}", line) for line in lines("constraints-hashes.txt")]
    assert [found and found[1] for found in hashed] == pins
