"""docs/python.md: its code runs from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    known: dict = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), known)
    assert "the data do not give a sampling rate" in capsys.readouterr().out
    assert (tmp_path / "report.html").is_file() and (tmp_path / "pump-1" / "scores.csv").is_file()


def test_ten_lines_lead_from_an_array_to_a_report():
    first = re.search(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len([line for line in first[1].splitlines() if line.strip()]) <= 10
