"""Hostile views, fusers, thresholders and readers: an error that names them, and nobody else is hurt."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vibro.context import Context
from vibro.core.engine import Engine
from vibro.core.folds import make_rows
from vibro.core.planning import make_plan
from vibro.errors import VibroError
from vibro.events import DetectorFailed
from vibro.host.isolation import load_isolated
from vibro.ingest import IngestOptions, ingest
from vibro.injection.fit import fit_ensemble

from .kinds import CASES, HARMLESS, source
from .runs import GOOD, LIMITS, marked, new_host, run

QUICK = {("feature", "raises"), ("fuser", "none"), ("thresholder", "nan"), ("reader", "quiet_death")}


@pytest.fixture
def hostile(tmp_path):
    """hostile(kind, act) gives a host with that plugin, isolated."""
    hosts = []

    def load(kind: str, act: str):
        path = tmp_path / f"zoo_{kind}_{act}.py"
        path.write_text(source(kind, act))
        host = new_host()
        host.register_module("hostile", load_isolated("hostile", path.stem, file=path, limits=LIMITS))
        hosts.append((host, kind))
        return host

    yield load
    for host, kind in hosts:
        host.component(kind, "hostile").worker.close()
    end = time.monotonic() + 10
    while marked() and time.monotonic() < end:
        time.sleep(0.1)
    assert marked() == [], "a process of a plugin outlived its run"


def of(kind: str):
    return [act if (kind, act) in QUICK else pytest.param(act, marks=pytest.mark.slow) for k, act in CASES if k == kind]


@pytest.mark.parametrize("act", of("feature"))
def test_a_hostile_view_costs_only_the_detectors_that_read_it(hostile, batch, calm, act):
    host = hostile("feature", act)
    seen = []
    host.emit = lambda event: seen.append(event)
    _, matrix, _ = run(host, batch, [*GOOD, {"use": "mahalanobis", "id": "reader", "view": "hostile"}])
    columns = [matrix.detectors.index(ident) for ident in ("mahalanobis", "ecod", "knn")]
    assert matrix.z[:, columns].tobytes() == calm[1].z.tobytes()
    failed = [event for event in seen if isinstance(event, DetectorFailed)]
    assert [event.detector for event in failed] == ([] if act in HARMLESS else ["reader"])
    assert all("hostile" in event.error for event in failed)


def decided(host, batch, **parts):
    table = {"detectors": GOOD, "fuser": {"use": "weighted_mean"}, "thresholder": {"use": "quantile"}, **parts}
    engine = Engine(host, Context(seed=3))
    fitted, _, matrix = fit_ensemble(engine, make_plan(host, "zoo", table), batch, make_rows(batch))
    return engine.decide(fitted, matrix, batch)


@pytest.mark.parametrize(
    ("kind", "act"), [pytest.param(kind, *p.values, marks=p.marks) if hasattr(p, "values") else (kind, p)
                      for kind in ("fuser", "thresholder") for p in of(kind)]
)  # fmt: skip
def test_a_hostile_fuser_or_thresholder_is_a_named_error(hostile, batch, calm, kind, act):
    host = hostile(kind, act)
    start = time.monotonic()
    if act in HARMLESS:
        assert np.isfinite(decided(host, batch, **{kind: {"use": "hostile"}}).score).all()
    else:
        with pytest.raises(VibroError) as caught:
            decided(host, batch, **{kind: {"use": "hostile"}})
        assert "hostile" in str(caught.value)
        assert caught.value.exit_code == 5
    assert time.monotonic() - start < LIMITS.seconds + 5 + 10
    assert decided(host, batch).score.tobytes() == calm[2].score.tobytes()


@pytest.mark.parametrize("act", of("reader"))
def test_a_hostile_reader_is_a_named_error_and_the_other_files_can_be_read(hostile, tmp_path, act):
    folder = tmp_path / "data"
    folder.mkdir()
    values = [f"{np.sin(i):.4f}" for i in range(64)]
    (folder / "bad.nums").write_text(" ".join(values) + "\n" + " ".join(values[::-1]) + "\n")
    (folder / "good.jsonl").write_text(
        f'{{"data_time": "2026-01-01T00:00:00Z", "signal_value": "{",".join(values)}", "sensor_id": "a"}}\n'
    )
    host = hostile("reader", act)
    own, hurt = (host.component("reader", name).make({}, Context()) for name in ("jsonl", "hostile"))

    def read(*readers):
        files = [folder / "good.jsonl", *([folder / "bad.nums"] if hurt in readers else [])]
        return ingest(files, readers, IngestOptions(fs=64.0), tmp_path / "work", lambda event: None)

    if act in HARMLESS or act == "too_short":
        assert len(read(own, hurt).batch) == 3 - (act == "too_short")
    else:
        with pytest.raises(VibroError) as caught:
            read(own, hurt)
        assert "hostile" in str(caught.value)
        assert caught.value.exit_code == 5
    assert read(own).batch.sensors == ("a",)
