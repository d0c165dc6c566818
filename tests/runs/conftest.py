"""Every sentence that a test makes a run say about its verdict must be in the catalogue of translations."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibro.report.messages import known
from vibro.runs import summary, voice

TWO = """
[ensembles.two]
summary = "two detectors"
detectors = [
  { use = "mahalanobis", view = { use = "per_sensor", of = "spectrum" } },
  { use = "rise", view = { use = "per_sensor", of = "spectrum" } },
]
thresholder = { use = "quantile" }
budgets = { attention = 0.1, alarm = 0.02 }
"""
SPEAKERS = ("quiet_machines", "alone", "passing", "persisting", "minority", "unseen", "off_budget")


@pytest.fixture(autouse=True)
def _every_sentence_is_translated(monkeypatch):
    said: list[str] = []

    def recorded(speaker):
        def speak(*args):
            found = speaker(*args)
            said.extend(found)
            return found

        return speak

    def built(**parts):
        found = build(**parts)
        said.extend(text for text in found["warnings"] if text not in parts["warnings"])  # those are about the data
        return found

    build = summary.build
    monkeypatch.setattr(summary, "build", built)
    for name in SPEAKERS:
        monkeypatch.setattr(voice, name, recorded(getattr(voice, name)))
    yield
    assert [text for text in said if not known(text)] == []


@pytest.fixture(scope="session")
def two(tmp_path_factory) -> list[str]:
    """Options of ``vibro ensemble run`` for an ensemble of two plain detectors, without a report."""
    table: Path = tmp_path_factory.mktemp("two") / "two.toml"
    table.write_text(TWO)
    return ["--registry", str(table), "--ensemble", "two", "--no-report", "--quiet"]
