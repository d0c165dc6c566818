"""Everything that a diagnosis says in these tests must have its Chinese."""

from __future__ import annotations

import re

import pytest

from vibro.diagnosis import diagnose as room
from vibro.diagnosis.diagnose import Diagnosis
from vibro.report.messages import known


@pytest.fixture(autouse=True)
def spoken(monkeypatch):
    """Evidence, objections, facts and what could not be judged, of every diagnosis of the test."""
    said = []
    build = Diagnosis

    def recorded(*parts, **named):
        found = build(*parts, **named)
        for h in found.hypotheses:
            said.extend((h.name, *h.evidence, *h.against))
        said.extend((*found.unsaid, *found.facts))
        return found

    monkeypatch.setattr(room, "Diagnosis", recorded)
    yield
    words = {text for text in said if re.search("[a-z]{3}", text)}  # not "100 Hz +3 dB, 200 Hz +4 dB"
    assert sorted(text for text in words if not known(text)) == []
