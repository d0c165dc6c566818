"""Every sentence that a test makes a run say about its verdict must be in the catalogue of translations."""

from __future__ import annotations

import pytest

from vibro.report.messages import known
from vibro.runs import summary, voice

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
