"""What a fit is given: rows with a view, their copies, and of very many rows some."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.context import Context
from vibro.core import worker
from vibro.core.task import ArrayRef, FitTask
from vibro.core.worker import fit_task

N = 120


@pytest.fixture
def fitted(host, monkeypatch):
    """Fits ``distance`` on the numbers 1 to N; its result and what each fit was given: x, y and the disturbed copies."""
    distance, given = host.component("detector", "distance"), []
    fit = distance.fit
    monkeypatch.setattr(
        distance, "fit", lambda self, x, y=None: (given.append((x[:, 0], y, self.ctx.disturbed)), fit(self, x))[1]
    )

    def run(x=None, *, cross_fit=True, **more):
        x = np.arange(1, N + 1, dtype=np.float32)[:, None] if x is None else x
        rows, task = np.arange(N), ("distance", distance, distance.make({}, Context()).params, Context(seed=3))
        return fit_task(FitTask(*task, ArrayRef(x), rows, (rows % 5).astype(np.int8), cross_fit, **more)), given

    return run


def test_copies_keep_their_source_where_rows_have_no_view(fitted):
    x = np.arange(1, N + 1, dtype=np.float32)[:, None]
    x[::4] = np.nan
    copy_of = np.repeat(np.arange(N), 2)
    copies = x[copy_of] + 1000
    copies[3] = np.nan  # the second copy of the second row
    result, given = fitted(x, copies=ArrayRef(copies), copy_of=copy_of)
    assert result.status == "ok" and [len(rows) for rows, *_ in given] == [72] * 5 + [90]
    for rows, _, disturbed in given:
        assert len(disturbed.x) == 2 * len(rows) - (2 in rows)
        assert np.array_equal(disturbed.x[:, 0], rows[disturbed.row] + 1000)


def test_of_more_rows_than_a_fit_learns_from_it_gets_all_that_are_labelled_as_faulty(fitted, monkeypatch):
    monkeypatch.setattr(worker, "MOST_ROWS", 40)
    y = np.full(N, -1, np.int16)
    y[[3, 50, 51, 52, 118]] = 1
    result, given = fitted(y=y, cross_fit=False)
    ((rows, labels, _),) = given
    assert len(rows) == 40 and result.health["rows_used"] == 40
    assert set(rows[labels == 1]) == {4, 52, 53, 119}  # row 50 is held out
    y[:] = 1
    assert len(fitted(y=y, cross_fit=False)[1][-1][0]) == 40


@pytest.mark.parametrize(("most", "told"), [(95, 95), (96, None)])
def test_rows_that_are_held_out_do_not_count_as_used(fitted, monkeypatch, most, told):
    monkeypatch.setattr(worker, "MOST_ROWS", most)
    result, given = fitted(cross_fit=False)
    assert len(given[0][0]) == most and result.health.get("rows_used") == told
