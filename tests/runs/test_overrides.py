"""What the command line changes in an ensemble's table."""

from __future__ import annotations

import pytest

from vibro.errors import ConfigError
from vibro.runs.overrides import customise

from ..core.conftest import ensemble as ensemble
from ..core.conftest import host as host


def test_the_command_line_changes_the_table(host, ensemble):
    table = ensemble({"use": "distance", "id": "d"}, {"use": "bad", "how": "nan"})
    changed = customise(
        host, table, detectors=["bad", "distance"], sets=["bad.how=list", "fuser.use=mean"], budget=0.02
    )
    assert changed["detectors"] == [{"use": "bad", "how": "list"}, {"use": "distance"}]
    assert changed["suspects"] == []
    kept = customise(host, {**table, "suspects": ["d", "bad"]}, detectors=["bad"])
    assert kept["suspects"] == ["bad"]
    assert changed["budgets"] == {"alarm": 0.02, "attention": 0.1}
    assert table["detectors"][1]["how"] == "nan"  # the registry's own table is left alone
    for bad in ("nonsense", "x.y=1", "bad=3"):
        with pytest.raises(ConfigError):
            customise(host, table, sets=[bad])
    with pytest.raises(ConfigError, match="neither a detector of the ensemble"):
        customise(host, table, detectors=["nobody"])
