"""Makes the gallery of whole pages and the figures of verdicts.md from simulated data: `make docs`.

Pages go to docs/gallery, which is not kept in the repository, figures to docs/figures, which is.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from vibro.cli import run
from vibro.report import background
from vibro.report.data import load
from vibro.report.page import TEMPLATES
from vibro.report.sections import distribution, when, worst_first
from vibro.report.svg import Svg
from vibro.report.texts import texts

DOCS = Path(__file__).parent
GALLERY, FIGURES = DOCS / "gallery", DOCS / "figures"
SUITE = """
name = "simulated"
summary = "Simulated transformers with and without covariates, and simulated bearings."
ensembles = ["quick"]
combinations = "2"
fusers = ["auto"]
seeds = 2
split = "none"
[[sets]]
name = "plant"
simulate = { records = 300, faults = 0.1 }
[[sets]]
name = "plant_without_covariates"
simulate = { records = 300, faults = 0.1 }
covariates = false
[[sets]]
name = "bearings"
simulate = { records = 300, faults = 0.1, preset = "bearing" }
"""


def make(work: Path) -> None:
    """Runs the commands whose pages are shown; their run directories lie below ``work``."""
    GALLERY.mkdir(exist_ok=True)
    vibro("demo", "-o", work / "demo")
    vibro("report", work / "demo", "-o", GALLERY / "run.html")
    vibro("report", work / "demo", "-o", GALLERY / "run.zh.html", "--lang", "zh")
    record = json.loads((work / "demo" / "summary.json").read_text(encoding="utf-8"))["cases"]["first"][0]["record_id"]
    vibro("explain", work / "demo", record, "-o", GALLERY / "explain.html")
    vibro("explain", work / "demo", record, "-o", GALLERY / "explain.zh.html", "--lang", "zh")
    plant = work / "sound"
    vibro("data", "simulate", "-o", plant, "--records", 800, "--faults", 0, "--seed", 3, "--format", "npz")
    covariates = ("--covariates", plant / "covariates.csv")
    vibro("ensemble", "run", plant / "data.npz", "-o", work / "quiet", "--ensemble", "quick", *covariates)
    vibro("report", work / "quiet", "-o", GALLERY / "sound.html")
    (work / "suite.toml").write_text(SUITE, encoding="utf-8")
    vibro("benchmark", "run", work / "suite.toml", "-o", work / "bench")
    (GALLERY / "benchmark.html").write_bytes((work / "bench" / "report.html").read_bytes())
    figures(work / "demo")


def vibro(*words: object) -> None:
    """A command that must succeed."""
    code = run([*(str(word) for word in words), "--quiet"])
    if code:
        sys.exit(f"vibro {words[0]} ended with {code}")


def figures(folder: Path) -> None:
    """The charts of a run's page, each as a file that carries the style of the page."""
    FIGURES.mkdir(exist_ok=True)
    found, t = load(folder), texts("en")
    metrics = background.metrics(found, t)
    made = {
        "scores": distribution(found, t),
        "when": when(found, worst_first(found), t),
        "alike": background.alike(found, t),
        "metrics": metrics["dots"] if metrics else None,
    }
    style = Svg(
        f"<style>{(TEMPLATES / 'style.css').read_text(encoding='utf-8')} svg {{ font-family: sans-serif; }}</style>"
    )
    for name, picture in made.items():
        assert picture is not None, f"the demo has nothing for {name}"
        head, _, rest = picture.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1).partition(">")
        (FIGURES / f"{name}.svg").write_text(f"{head}>{style}{rest}", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        make(Path(work))
