"""Records without covariates: scored again by the members whose views read them, and only by those."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.injection import masked
from vibro.simulate.simulate import simulate
from vibro.simulate.write import write


def test_a_member_that_reads_no_covariates_keeps_the_held_out_scores_that_it_would_get_again(tmp_path, monkeypatch):
    seen = {}
    score_altered = masked.score_altered

    def noted(engine, detectors, states, copies, purpose):
        every_state = detectors.holdout_states
        seen.update(copies=copies, states=states, again=score_altered(engine, detectors, every_state, copies, purpose))
        return score_altered(engine, detectors, states, copies, purpose)

    def kept(engine, detectors):
        seen["rows"], seen["raw"] = masked.score_masked(engine, detectors)
        seen["ids"] = detectors.survivors
        return seen["rows"], seen["raw"]

    monkeypatch.setattr(masked, "score_altered", noted)
    monkeypatch.setattr("vibro.injection.fit.score_masked", kept)
    write(simulate(records=400, units=1, sensors=4, fs=1024, faults=0.03), tmp_path / "data")
    line = [
        "ensemble",
        "run",
        str(tmp_path / "data" / "data.jsonl"),
        "-o",
        str(tmp_path / "run"),
        "--ensemble",
        "quick",
    ]
    assert vibro([*line, "--covariates", str(tmp_path / "data" / "covariates.csv"), "--no-report", "--quiet"]) == 0
    assert np.isnan(seen["copies"].covariates).all()
    others = set(seen["ids"]) - set(seen["states"])
    assert others == {"context", "context_knn"} and len(seen["states"]) >= 4
    for j, ident in enumerate(seen["ids"]):
        assert seen["raw"][:, j] == pytest.approx(seen["again"][ident], rel=1e-6, nan_ok=True), ident
        assert np.isfinite(seen["raw"][:, j]).any()
