"""Where worker processes are worth their start."""

from __future__ import annotations

from vibro.core.executors import LONG, processors, resolve_executor


def test_workers_are_started_only_where_they_are_worth_it():
    many = f"processes:{min(processors(), 4)}" if processors() > 1 else "serial"
    assert resolve_executor("auto", LONG + 1, "cpu") == many
    assert resolve_executor("auto", LONG - 1, "cpu") == "serial"
    assert resolve_executor("auto", LONG + 1, "cuda:0") == "serial"
    assert resolve_executor("processes:7", 0.0, "cpu") == "processes:7"
