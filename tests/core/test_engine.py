"""The engine end to end on toy components: sharing, seeds, failures, quorum, frozen scoring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.context import Context
from vibro.core import worker
from vibro.core.engine import Engine
from vibro.core.folds import make_rows
from vibro.core.planning import make_plan
from vibro.errors import IncompatibleModelError, QuorumError
from vibro.injection.disturbed import disturb_rows
from vibro.injection.faults import KINDS, SEVERITIES
from vibro.injection.fit import fit_ensemble
from vibro.runs.model import verify_model
from vibro.scoring.verdict import ALARM, INDETERMINATE

DISTANCE = {"use": "distance"}


def run(host, table, batch, **options):
    engine, fitted, _, matrix = reported(host, table, batch, **options)
    return engine, fitted, matrix


def reported(host, table, batch, **options):
    """As ``run``, with what is told of the fit."""
    engine = Engine(host, Context(seed=3), **options)
    return engine, *fit_ensemble(engine, make_plan(host, "toy", table), batch, make_rows(batch))


def test_a_run_finds_the_loud_records(host, ensemble, batch):
    engine, fitted, matrix = run(host, ensemble(DISTANCE, budgets={"attention": 0.1, "alarm": 0.05}), batch)
    verdict = engine.decide(fitted, matrix, batch)
    loud = np.arange(len(batch)) % 20 == 0
    assert verdict.score[loud].min() > np.quantile(verdict.score[~loud], 0.9)
    assert (verdict.level[loud] == ALARM).mean() >= 0.5
    assert (verdict.p_value > 0).all() and (verdict.p_value <= 1).all()


def test_a_view_is_computed_once_for_all_its_detectors(host, ensemble, batch):
    table = ensemble(DISTANCE, {"use": "distance", "id": "second"}, {"use": "distance", "id": "third"})
    run(host, table, batch)
    assert host.level.calls == 2 + 1 + len(KINDS)  # the data, the perturbed records, those with injected faults


def test_frozen_scoring_equals_the_run_independent_of_the_batch(host, ensemble, batch):
    engine, fitted, matrix = run(host, ensemble(DISTANCE), batch)
    again = engine.score(fitted, batch)
    assert again.z.tobytes() == matrix.z.tobytes()
    one = engine.score(fitted, batch.take(np.array([20])))
    assert one.z.tobytes() == matrix.z[20:21].tobytes()
    flipped = engine.score(fitted, batch.take(np.arange(len(batch))[::-1]))
    assert flipped.z[::-1].tobytes() == matrix.z.tobytes()


def test_the_order_of_the_input_decides_nothing(host, ensemble, batch):
    _, _, matrix = run(host, ensemble(DISTANCE), batch)
    order = np.random.default_rng(0).permutation(len(batch))
    _, _, shuffled = run(host, ensemble(DISTANCE), batch.take(order))
    assert shuffled.z.tobytes() == matrix.z[order].tobytes()


def test_a_fit_is_told_which_rows_belong_together(host, ensemble, batch, monkeypatch):
    distance, told = host.component("detector", "distance"), []
    fit = distance.fit
    monkeypatch.setattr(
        distance, "fit", lambda self, x, y=None: (told.append((len(x), self.ctx.groups)), fit(self, x))[1]
    )
    run(host, ensemble(DISTANCE), batch)
    assert [rows for rows, _ in told] == [96] * 5 + [120] == [len(groups) for _, groups in told]
    groups = told[-1][1]  # in the order of the ids, as the rows are
    order = np.argsort(batch.ids, kind="stable")
    assert len(np.unique(groups)) == 60
    for group in np.unique(groups):  # a sensor at two neighbouring instants
        assert np.ptp(order[groups == group]) == 3


def test_an_unknown_sensor_is_judged_by_the_pool(host, ensemble, batch):
    engine, fitted, _ = run(host, ensemble(DISTANCE), batch)
    stranger = replace(batch.take(np.arange(3)), sensors=("new0", "new1", "new2"))
    assert np.isfinite(engine.score(fitted, stranger).z).all()


@pytest.mark.parametrize("how", ["raise", "exit", "nan", "list", "long", "text"])
def test_a_failing_detector_leaves_the_others_as_they_were(host, ensemble, batch, how):
    _, _, alone = run(host, ensemble(DISTANCE), batch)
    table = ensemble(DISTANCE, {"use": "bad", "how": how})
    _, fitted, report, matrix = reported(host, table, batch)
    assert fitted.detectors == ("distance",)
    assert matrix.z.tobytes() == alone.z.tobytes()
    failed = next(r for r in report.results if r.id == "bad")
    assert failed.status == "failed" and failed.reason


def test_a_detector_may_be_skipped_with_its_reason(host, ensemble, batch):
    _, _, report, _ = reported(host, ensemble(DISTANCE, {"use": "bad", "how": "skip"}), batch)
    skipped = next(r for r in report.results if r.id == "bad")
    assert (skipped.status, skipped.reason) == ("excluded", "too little of everything")


def test_the_sensitivity_check_excludes_a_constant_detector(host, ensemble, batch):
    _, fitted, report, _ = reported(host, ensemble(DISTANCE, {"use": "bad", "how": "constant"}), batch)
    assert fitted.detectors == ("distance",)
    assert "insensitive" in next(r for r in report.results if r.id == "bad").reason
    assert report.sensitivity["distance"].passed


def test_below_the_quorum_there_is_no_verdict(host, ensemble, batch):
    table = ensemble(DISTANCE, *({"use": "bad", "id": f"b{i}", "how": "raise"} for i in range(3)))
    with pytest.raises(QuorumError, match=r"3 of 4 detectors failed.*no luck"):
        run(host, table, batch)


def test_too_few_records_are_named(host, ensemble, batch):
    with pytest.raises(QuorumError, match="distance: needs at least 4 rows to learn from, here it gets 3"):
        run(host, ensemble(DISTANCE), batch.take(np.arange(3)))


def test_adding_a_detector_moves_no_other_score(host, ensemble, batch):
    _, _, alone = run(host, ensemble(DISTANCE), batch)
    _, _, both = run(host, ensemble({"use": "distance", "id": "first"}, DISTANCE), batch)
    assert both.z[:, 1].tobytes() == alone.z[:, 0].tobytes()


def test_other_data_are_refused_by_name(host, ensemble, batch):
    engine, fitted, _ = run(host, ensemble(DISTANCE), batch)
    with pytest.raises(IncompatibleModelError, match="fs is 2000, the model was fitted at 1000"):
        engine.score(fitted, replace(batch, fs=2000.0))


def test_probes_notice_a_changed_state(host, ensemble, batch):
    engine, fitted, _ = run(host, ensemble(DISTANCE), batch)
    verify_model(engine, fitted, {"libraries": {}}, {})
    shifted = {"distance": {"centre": fitted.states["distance"]["centre"] + 0.1}}
    with pytest.raises(
        IncompatibleModelError, match=r"distance gives other scores.*versions that changed: numpy 1 -> 2"
    ):
        verify_model(engine, replace(fitted, states=shifted), {"libraries": {"numpy": "1"}}, {"numpy": "2"})


def test_a_lost_score_makes_the_row_indeterminate(host, ensemble, batch):
    engine, fitted, matrix = run(host, ensemble(DISTANCE, quorum=1.0), batch)
    matrix.z[7] = np.nan
    assert engine.decide(fitted, matrix, batch).level[7] == INDETERMINATE


def test_an_invalid_record_is_scored_but_not_learned_from(host, ensemble, batch):
    batch.quality[5] = 1
    engine, fitted, matrix = run(host, ensemble(DISTANCE), batch)
    verdict = engine.decide(fitted, matrix, batch)
    assert verdict.level[5] == 3 and np.isfinite(verdict.score[5])
    assert 5 not in make_rows(batch).fit


def test_records_of_an_unseen_operating_state_raise_an_alarm_only_over_the_stricter_cut(host, ensemble, batch):
    rng = np.random.default_rng(2)
    load = rng.uniform(0.5, 1.0, (len(batch), 1)).astype(np.float32)
    loaded = replace(batch, covariates=load, covariate_names=("load",))
    engine, fitted, _ = run(host, ensemble(DISTANCE), loaded)
    far = replace(loaded, covariates=load - 1.0)
    levels = [engine.decide(fitted, engine.score(fitted, b), b) for b in (loaded, far)]
    assert (levels[0].level == ALARM).any() and not levels[0].unseen.any()
    assert levels[1].unseen.all() and not levels[0].alarm_suppressed.any()
    cuts = fitted.cuts
    assert cuts.unseen > cuts.alarm
    between = replace(
        cuts, alarm=float(np.quantile(levels[1].score, 0.8)), unseen=float(np.quantile(levels[1].score, 0.9))
    )
    third = engine.decide(replace(fitted, cuts=between), engine.score(fitted, far), far)
    assert (third.level == ALARM).sum() == 12 and (third.alarm_suppressed & (third.score > between.alarm)).sum() == 12


def test_the_trial_has_every_fault_at_every_severity(host, ensemble, batch):
    _, fitted, report, _ = reported(host, ensemble(DISTANCE), batch)
    assert report.trial.corrupted.shape[:2] == (len(KINDS), len(SEVERITIES)) and report.trial.corrupted.shape[3] == 1
    assert np.isfinite(report.trial.fused).all()
    assert fitted.cuts.resampled.shape[1] == 2 and np.isfinite(fitted.cuts.resampled).all()


def test_a_fit_that_wants_them_gets_disturbed_copies_of_its_own_rows_alone(
    host, ensemble, batch, monkeypatch, tmp_path
):
    distance, level, told = host.component("detector", "distance"), host.component("feature", "level"), []
    fit = distance.fit
    monkeypatch.setattr(distance, "wants_disturbed", True)
    monkeypatch.setattr(
        distance, "fit", lambda self, x, y=None: (told.append((x.copy(), self.ctx.disturbed)), fit(self, x))[1]
    )
    engine, calls = Engine(host, Context(seed=3)), level.calls
    plan, rows = make_plan(host, "toy", ensemble(DISTANCE, {"use": "distance", "id": "second"})), make_rows(batch)
    copies = disturb_rows(batch, rows.by_id(batch).fit, 5)
    engine.fit_detectors(plan, batch, rows, copies=copies)
    assert level.calls - calls == 2  # the records and their copies, once for both detectors
    assert [len(x) for x, _ in told] == ([96] * 5 + [120]) * 2
    view = level.make({}, Context())
    row_of = {x.tobytes(): i for i, x in enumerate(view.transform({"raw": batch.x}))}
    shown = view.transform({"raw": copies.batch.x})
    copy_of = {x.tobytes(): int(i) for x, i in zip(shown, copies.row, strict=True)}
    for x, given in told:
        assert len(given.x) == 10 * len(x)
        sources = [copy_of[copy.tobytes()] for copy in given.x]
        assert sources == [row_of[x[i].tobytes()] for i in given.row]


def test_of_more_rows_than_a_fit_learns_from_some_are_taken_and_all_are_scored(host, ensemble, batch, monkeypatch):
    distance, told = host.component("detector", "distance"), []
    fit = distance.fit
    monkeypatch.setattr(worker, "MOST_ROWS", 50)
    monkeypatch.setattr(distance, "wants_disturbed", True)
    monkeypatch.setattr(distance, "fit", lambda self, x, y=None: (told.append((x.copy(), self.ctx)), fit(self, x))[1])
    engine, rows = Engine(host, Context(seed=3)), make_rows(batch)
    plan, order = make_plan(host, "toy", ensemble(DISTANCE)), rows.by_id(batch).fit
    copies = disturb_rows(batch, order[7::6], 5)  # made from 19 of the 120 rows
    found = engine.fit_detectors(plan, batch, rows, copies=copies).results["distance"]
    assert [len(x) for x, _ in told] == [50] * 6 == [len(ctx.groups) for _, ctx in told]
    assert len(told[-1][1].disturbed.x) == len(copies.row)  # none is lost
    assert np.isfinite(found.scores).all() and np.isfinite(found.reference).all()
    view = {x.tobytes() for x in host.component("feature", "level").make({}, Context()).transform({"raw": batch.x})}
    assert len({x.tobytes() for x in told[-1][0]} & view) == 50
    assert found.health["rows_used"] == 50
