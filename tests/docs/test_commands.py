"""Every command that README and docs show is run, in the order of its block, on data made for it.

plugin-authors.md is run by tests/packaging, the Python of python.md and views.md by tests/python and tests/packaging,
and the files of formats.md by tests/plugins/readers.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from vibro.cli import run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = {"plugin-authors.md"}  # its blocks are run by tests/packaging/test_tutorial.py
MAKE = {
    "make demo",
    "make test",
    "make setup",
    "make check",
    "make test-slow",
    "make bench",
    "make docs",
}  # CI runs what they run


def blocks() -> list[tuple[str, int, str]]:
    """Page, number and text of every block of commands; those of the tutorial go on from each other and are one."""
    found = []
    for page in PAGES:
        texts = re.findall(r"^```(?:sh|bash)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
        texts = ["".join(texts)] if page.name == "tutorial.md" else texts
        found += [(page.name, i, text) for i, text in enumerate(texts) if page.name not in ELSEWHERE]
    return found


def tool(*words: object) -> None:
    assert run([str(word) for word in words] + ["--quiet"]) == 0


def plant(folder: Path, records: int = 240, seed: int = 1, **names: str) -> Path:
    """A folder of simulated records with one machine, from 10 April 2024 on; ``sensor`` names the first sensor."""
    made = folder.parent / f"made-{folder.name}"
    tool(
        "data",
        "simulate",
        "-o",
        made,
        "--records",
        records,
        "--units",
        1,
        "--sensors",
        4,
        "--faults",
        0.1,
        "--seed",
        seed,
    )
    folder.mkdir()
    lines = []
    for line in (made / "data.jsonl").read_text().splitlines():
        row = json.loads(line)
        row["data_time"] = str(np.datetime64(row["data_time"].rstrip("Z")) + np.timedelta64(121, "D")) + "Z"
        row["sensor_id"] = names.get(row["sensor_id"], row["sensor_id"])
        lines.append(json.dumps(row))
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def pump(tmp_path_factory):
    """A folder with ``data``, of which one sensor is called pump 1, and ``run``, made of it."""
    folder = tmp_path_factory.mktemp("pump")
    plant(folder / "data", **{"U1-S1": "pump 1"})
    tool("ensemble", "run", folder / "data", "-o", folder / "run", "--ensemble", "quick", "--no-report")
    return folder


def prepare(page: str, text: str, pump: Path) -> None:
    """The inputs that a block takes for granted, in the working directory."""
    here = Path.cwd()
    if re.search(r"\bDATA\b", text):
        plant(here / "DATA")
    if "NEW_DATA" in text:
        plant(here / "NEW_DATA", 24, seed=2)
    if page == "daily.md":
        shutil.copytree(pump / "data", "data")
        if "vibro init" not in text:
            shutil.copytree(pump / "run", "run")
            shutil.copytree("data", "inbox")
        if "run-of-may" in text:
            shutil.copytree("run", "run-of-may")
            shutil.copytree("run", "run-of-june")
            tool("threshold", "run-of-june", "--budget", 0.2)
        if "records.npz" in text:
            tool("data", "convert", "data", "-o", "records.npz")
    if page == "formats.md":
        samples = np.random.default_rng(0).normal(size=300_000).astype(np.float32)
        table = here / "plant" / "P1" / "front" / "20240101_000000.csv"
        table.parent.mkdir(parents=True)
        np.savetxt(table, np.c_[np.arange(4096) / 8192, samples[:4096]], "%.9g", ",", header="t,acc", comments="")
        names = ("fan/f1_normal/id_00_a.wav", "mfpt/normal/a.wav", "mfpt/inner/b.wav", "mfpt/outer/c.wav")
        for i, name in enumerate(names):
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            wavfile.write(here / name, 48_000, np.roll(samples, 7 * i))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page,number,text", [pytest.param(*b, id=f"{b[0]}-{b[1]}") for b in blocks()])
def test_commands_of_the_page(page, number, text, pump, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(page, text, pump)
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words or " ".join(words) in MAKE:
            continue
        if words[0] in ("grep", "python"):
            subprocess.run(line.replace("python ", f"{sys.executable} ", 1), shell=True, check=True)
            continue
        assert words[0] == "vibro", line
        code = endless(words) if words[1] == "watch" and "--once" not in words else run(named(words[1:]))
        assert code in allowed(line), f"{line}: exit {code}"
        if words[1] == "suggest":
            fill_in(Path("labels.csv"))


def allowed(line: str) -> tuple[int, ...]:
    """Exit codes that the page promises: findings that a command was asked to look for are 1."""
    return (
        (0, 1) if "--fail-on-change" in line else (130, 143) if "vibro watch" in line and "--once" not in line else (0,)
    )


def named(words: list[str]) -> list[str]:
    """The words with the highest record of the run for RECORD."""
    if "RECORD" not in words:
        return words
    top = json.loads((Path(words[1]) / "summary.json").read_text())["top"][0]["record_id"]
    return [top if word == "RECORD" else word for word in words]


def endless(words: list[str]) -> int:
    """A command that goes on until it is stopped: after its first scores it is stopped."""
    process = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(8)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    return process.wait(60)


def fill_in(table: Path) -> None:
    """Fills in the empty column of a table of suggestions, every other record as a fault."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for i, row in enumerate(rows):
        row["label"] = str(i % 2)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_every_block_of_commands_is_vibro_or_make():
    lines = [shlex.split(line, comments=True) for _, _, text in blocks() for line in text.splitlines()]
    assert {words[0] for words in lines if words} == {"vibro", "make", "grep", "python"} and len(lines) > 30
    assert {" ".join(words) for words in lines if words and words[0] == "make"} <= MAKE


@pytest.mark.slow
def test_the_detector_of_readme_passes_the_kit(tmp_path):
    from vibro.testing.plugin import check_plugin

    (block,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    path = tmp_path / "loudness.py"
    path.write_text(block)
    report = check_plugin(path.stem, str(path), None, quick=True, seed=0)
    checks = [check for component in report["components"] for check in component["checks"]]
    assert len(checks) > 50 and [check for check in checks if check["status"] != "passed"] == []
