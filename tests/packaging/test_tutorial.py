"""docs/plugin-authors.md is executed from an empty folder, block by block, in the order of the page."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugin-authors.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_detector_of_the_page_is_at_most_thirty_lines():
    (text,) = [text for kind, file, text in BLOCKS if file.endswith("src/vibro_knn_spectrum.py")]
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 30


@pytest.mark.parametrize("page", ("plugin-authors.md", "views.md"))
def test_every_python_block_parses(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```python[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        ast.parse(block)


VIEWS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs" / "views.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("block", VIEWS, ids=["level", "course"])
def test_a_view_of_the_page_passes_the_kit(tmp_path, block):
    from vibro.testing.plugin import check_plugin

    path = tmp_path / "a_view.py"
    path.write_text(block)
    report = check_plugin(path.stem, str(path), None, quick=True, seed=0)
    assert [c for c in report["components"][0]["checks"] if c["status"] != "passed"] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_runs_from_an_empty_folder(installed, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    said = []
    for kind, file, text in BLOCKS:
        if file:
            (folder / file).write_text(text)
        elif kind == "bash":
            said += [run(installed, shlex.split(line), folder) for line in text.splitlines()]
    summary = json.loads((folder / "run" / "summary.json").read_text())
    status = {d["id"]: d["status"] for d in summary["detectors"]}
    assert (status["mine"], status["mahalanobis"]) == ("ok", "ok") and len(status) > 5
    compared = (folder / "bench" / "results.csv").read_text()
    assert "knn_spectrum" in compared and "pyod_knn" in compared
    assert "knn_spectrum" not in run(installed, ["vibro", "plugins", "list", "--all"], folder)


def run(env, words: list[str], folder: Path) -> str:
    """Output of one line of the page, with the programs of the environment."""
    if words[0] == "pip":
        return env.pip(*words[1:], cwd=folder)
    assert words[0] == "vibro"
    return env.call(env.bin / words[0], *words[1:], cwd=folder)
