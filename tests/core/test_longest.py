"""The longest of the tasks that wait goes first, and a worker that died ends them all."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from threading import Event

import pytest

from vibro.core.longest import LongestFirst
from vibro.core.scheduler import SerialExecutor


def test_the_longest_of_those_that_wait_goes_first_and_equal_ones_keep_their_order():
    order: list[str] = []
    hold = Event()

    def work(name: str) -> str:
        if name == "first":
            hold.wait(10)
        order.append(name)
        return name

    with ThreadPoolExecutor(1) as pool:
        queue = LongestFirst(pool, 1)
        futures = [queue.submit(length, work, name) for length, name in ((1, "first"), (2, "b"), (9, "long"), (2, "c"))]
        hold.set()
        assert [future.result(10) for future in futures] == ["first", "b", "long", "c"]
    assert order == ["first", "long", "b", "c"]


def test_what_a_task_raises_is_its_own_and_the_next_one_is_begun():
    with ThreadPoolExecutor(1) as pool:
        queue = LongestFirst(pool, 1)
        bad, good = queue.submit(1, int, "x"), queue.submit(1, int, "7")
        assert isinstance(bad.exception(10), ValueError) and good.result(10) == 7


def test_in_this_process_every_task_is_done_when_it_is_submitted():
    assert LongestFirst(SerialExecutor(), 1).submit(1, int, "7").done()


class Dies(Executor):
    """One whose only task is lost with its worker; it must not be given another one then."""

    def __init__(self) -> None:
        self.given: list[Future[int]] = []

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A task that is never done."""
        assert not self.given
        self.given.append(Future())
        return self.given[0]


def test_a_worker_that_dies_ends_the_tasks_that_wait_too():
    executor = Dies()
    queue = LongestFirst(executor, 1)
    futures = [queue.submit(1, int, "7") for _ in range(3)]
    executor.given[0].set_exception(BrokenExecutor("gone"))
    for future in futures:
        with pytest.raises(BrokenExecutor, match="gone"):
            future.result(1)
