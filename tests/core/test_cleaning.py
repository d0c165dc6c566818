"""Suspects: rows that they find suspicious are kept from the other detectors."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from vibro.context import Context
from vibro.core.cleaning import LEFT_OUT, suspicion, trusted_rows
from vibro.core.engine import Engine
from vibro.core.folds import make_rows
from vibro.core.planning import make_plan
from vibro.core.task import DetectorResult
from vibro.scoring.thresholds import guarded_cut
from vibro_plugins.thresholders.auto import Auto

DISTANCE = {"use": "distance"}


def test_no_single_score_however_large_decides():
    scores = np.random.default_rng(0).standard_normal((200, 2))
    scores[0, 0] = 1e9
    scores[1] = 40.0
    scores[2] = np.nan
    total = suspicion(scores)
    assert total[2] == 0.0 and np.isfinite(total).all()
    assert total[:2].min() > total[3:].max() and total[0] < 4 * total[1]
    assert np.array_equal(suspicion(np.zeros((5, 1))), np.zeros(5))


def fitted_rows(host, table, batch, rows, monkeypatch):
    """The rows of the view that each fit was given, in the order of the fits."""
    distance, told = host.component("detector", "distance"), []
    fit = distance.fit
    monkeypatch.setattr(distance, "fit", lambda self, x, y=None: (told.append(x.copy()), fit(self, x))[1])
    found = Engine(host, Context(seed=3)).fit_detectors(make_plan(host, "toy", table), batch, rows)
    return found, told


def test_the_most_suspicious_rows_are_kept_from_all_but_the_suspects(host, ensemble, batch, monkeypatch):
    table = ensemble({**DISTANCE, "id": "other"}, DISTANCE, suspects=["distance"])
    found, told = fitted_rows(host, table, batch, make_rows(batch), monkeypatch)
    left_out = int(np.ceil(LEFT_OUT * 119))
    assert list(found.results) == ["other", "distance"] and found.left_out == left_out
    assert [len(x) for x in told[:6]] == [96] * 5 + [120]  # the suspect comes first
    assert len(told[-1]) == 120 - left_out and sum(len(x) for x in told[6:11]) == 4 * (120 - left_out)
    kept, all_rows = told[-1][:, 0], told[5][:, 0]
    suspect = found.results["distance"].scores[make_rows(batch).by_id(batch).fit]
    assert set(np.sort(suspect)[:-left_out]) == set(suspect[np.isin(all_rows, kept)])
    assert np.isfinite(found.results["other"].reference).all()  # rows left out are scored all the same


def test_rows_known_to_be_normal_are_all_kept(host, ensemble, batch, monkeypatch):
    rows = replace(make_rows(batch), clean=True)
    found, told = fitted_rows(host, ensemble(DISTANCE, suspects=["distance"]), batch, rows, monkeypatch)
    assert found.left_out == 0 and len(told[-1]) == 120


def test_a_robust_detector_and_rows_with_a_label_keep_what_is_suspicious(host, ensemble, batch, monkeypatch):
    table = ensemble({**DISTANCE, "id": "other"}, DISTANCE, suspects=["distance"])
    monkeypatch.setattr(host.component("detector", "distance"), "robust", True)
    _, told = fitted_rows(host, table, batch, make_rows(batch), monkeypatch)
    assert len(told[-1]) == 120
    monkeypatch.setattr(host.component("detector", "distance"), "robust", False)
    monkeypatch.setattr(host.component("detector", "distance"), "needs_labels", True)
    y = np.full(len(batch), -1, np.int16)
    y[::20] = 1  # the loud ones, which are the most suspicious
    plan = make_plan(host, "toy", table)
    told.clear()
    Engine(host, Context(seed=3)).fit_detectors(plan, batch, make_rows(batch), y)
    left_out = int(np.ceil(LEFT_OUT * 119))
    assert len(told[-1]) == 120 - left_out + 6


@pytest.mark.parametrize("status", ["failed", "excluded"])
def test_a_suspect_without_scores_suspects_nobody(batch, status):
    rows = make_rows(batch)
    assert trusted_rows(rows, ["a"], {"a": DetectorResult("a", status)}, np.quantile).all()


def test_sound_rows_without_faults_lose_no_more_than_a_share_and_a_far_group_is_left_out_whole(batch):
    rows = make_rows(batch)
    scores = np.random.default_rng(1).standard_normal(len(batch))
    cut = partial(guarded_cut, Auto.make({}, Context()))

    def left_out(scores):
        return ~trusted_rows(rows, ["a"], {"a": DetectorResult("a", "ok", scores=scores)}, cut)

    assert left_out(scores).sum() <= 2 * LEFT_OUT * len(rows.fit)
    far = np.arange(len(batch)) % 8 == 0
    scores[far] += 50.0
    assert left_out(scores)[far[rows.fit]].all() and left_out(scores)[~far[rows.fit]].mean() <= 2 * LEFT_OUT
