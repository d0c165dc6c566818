"""What rows say about each other: who is skipped somewhere is judged over the same data sets as everybody else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vibro.benchmark.analysis import averages, contributions, front, learning, leave_one_out

NONE = [np.nan, np.nan]
TWO = SimpleNamespace(ensembles={"e": {"detectors": [{"id": "A"}, {"id": "B"}]}})
RECORDS = {"small": "1", "big": "2"}


def row(data, members, ap, *, prior=0.1, seconds=1.0, few=0):
    figures = {"average_precision": ap, "prior": prior, "fit_seconds": seconds, "score_seconds": 0.0}
    values = {name: np.broadcast_to(np.array(v, float), (2,)) for name, v in figures.items()}
    where = {"data": data, "pool": "p", "subset": "pool", "labelled_k": few}
    return where | {"ensemble": "e", "fuser": "f", "set": members, "values": values}


def two_sets(b_on_small, b_on_big=(0.9, 0.9), both=0.9):
    """A and B on two data sets; where B gives nothing, A stands alone."""
    return [
        *(row("small", "A", 0.5), row("small", "B", b_on_small), row("small", "A+B", 0.5)),
        *(row("big", "A", 0.5), row("big", "B", b_on_big), row("big", "A+B", both)),
    ]


def test_a_detector_that_is_skipped_on_a_data_set_counts_as_chance_there():
    rows = two_sets(NONE)
    worth = {r["detector"]: r["value"] for r in contributions(rows, TWO, RECORDS)}
    assert worth == pytest.approx({"A": 0.3, "B": 0.3})  # (0.4, 0.0) on one set, (0.2, 0.6) on the other
    gain = {r["detector"]: r["gain"] for r in leave_one_out(rows, TWO, RECORDS)}
    assert gain == pytest.approx({"A": 0.2, "B": 0.2})
    assert {r["set"]: r["average_precision"] for r in averages(rows, RECORDS)} == pytest.approx(
        {"A+B": 0.7, "A": 0.5, "B": 0.5}
    )


def test_a_detector_that_never_scores_is_worth_nothing_and_the_tables_stay():
    rows = two_sets(NONE, NONE, both=0.5)
    worth = {r["detector"]: r["value"] for r in contributions(rows, TWO, RECORDS)}
    assert worth == pytest.approx({"A": 0.4, "B": 0.0})
    assert {r["detector"]: r["gain"] for r in leave_one_out(rows, TWO, RECORDS)} == pytest.approx({"A": 0.4, "B": 0})
    assert {r["set"] for r in averages(rows, RECORDS)} == {"A", "A+B"}


def test_draws_of_one_class_count_for_nobody():
    rows = [row("big", name, [0.5, np.nan], prior=[0.1, 0.0]) for name in ("A", "B", "A+B")]
    assert [r["value"] for r in contributions(rows, TWO, RECORDS)] == pytest.approx([0.2, 0.2])
    assert {r["average_precision"] for r in averages(rows, RECORDS)} == {0.5}
    assert not contributions([row("big", name, NONE, prior=0.0) for name in ("A", "B", "A+B")], TWO, RECORDS)


def test_a_set_that_lost_draws_is_not_averaged_over_the_one_that_it_has():
    rows = [row("big", "A", [0.6, 0.6]), row("big", "B", [0.9, np.nan], seconds=0.5), row("small", "A", [0.6, 0.6])]
    cheap, best = front(averages(rows, RECORDS))
    assert (cheap["set"], best["set"]) == ("B", "A")
    assert cheap["average_precision"] == pytest.approx((0.5 + 0.1) / 2)


def test_labels_are_worth_what_the_same_block_gains_by_them():
    with_, without = np.array([0.8, 0.9]), np.array([0.5, 0.5])
    same = {"lead": without, "rms": without}
    blocks = {
        ("small", "p", "pool", 0): same,
        ("small", "p", "pool", 5): {"lead": with_, "rms": without},
        ("big", "p", "pool", 0): {"lead": np.ones(2), "rms": np.ones(2)},  # too few records for 5 labels
    }
    found = learning(blocks, RECORDS)
    assert [(r["labelled_k"], r["name"], r["gain"]) for r in found] == [
        (5, "lead", pytest.approx(0.35)),
        (5, "rms", 0.0),
    ]
    assert found[0]["average_precision"] == pytest.approx(0.85)
