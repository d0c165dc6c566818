"""Checks for what a component learns: seeds, state, refitting, other processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.errors import NotFittedError
from vibro.testing.assertions import fail, fresh_copy, require, same
from vibro.testing.case import Case


def check_unfitted_refuses(case: Case) -> None:
    """Before ``fit``, answering and ``state`` raise NotFittedError."""
    for name, action in (("answering", lambda: case.answer(case.make())), ("state()", lambda: case.make().state())):
        try:
            action()
        except NotFittedError:
            continue
        except Exception as error:
            fail(f"{name} before fit gave {type(error).__name__}: {error}")
        fail(f"{name} before fit was accepted")


def check_same_seed(case: Case) -> None:
    """The same seed gives the same bytes."""
    again = case.answer(case.fit(case.make()))
    same(np.asarray(again), case.expected, "a second fit with the same seed differs")


def check_other_seed(case: Case) -> None:
    """A component that declares itself not deterministic depends on the seed."""
    answer = np.asarray(case.answer(case.fit(case.make(seed=case.seed + 1))))
    require(not np.array_equal(answer, case.expected), "deterministic is False, but the seed changes nothing")


def check_answer_repeatable(case: Case) -> None:
    """Answering twice gives the same bytes and leaves the state as it was."""
    component = case.fitted
    before = _bytes(component.state())
    first, second = np.array(case.answer(component)), np.array(case.answer(component))
    same(second, first, "the second answer differs from the first")
    require(_bytes(component.state()) == before, "answering changed the state")


def check_refit_forgets(case: Case) -> None:
    """After a second ``fit`` nothing of the first is left."""
    component = case.fit(case.make(), other=True)
    case.answer(component)
    same(np.asarray(case.answer(case.fit(component))), case.expected, "a refitted component differs from a new one")


def check_state_plain(case: Case) -> None:
    """The state is a dict of plain numeric or bool arrays."""
    state = case.fitted.state()
    require(type(state) is dict, f"state() gave {type(state).__name__}, not a dict")
    for name, array in state.items():
        require(isinstance(name, str), f"the key {name!r} is no text")
        require(isinstance(array, np.ndarray), f"state[{name!r}] is {type(array).__name__}; write np.asarray(...)")
        require(array.dtype.kind in "biuf", f"state[{name!r}] has type {array.dtype}, not numbers or bool")


def check_state_enough(case: Case) -> None:
    """A new component of the same seed that loads a copy of the state answers with the same bytes."""
    state = fresh_copy(case.fitted.state())
    component = case.make()
    for array in state.values():
        array.flags.writeable = False
    component.load_state(state)
    same(np.asarray(case.answer(component)), case.expected, "after load_state the answer differs")
    require(_bytes(component.state()) == _bytes(state), "state() after load_state differs from what was loaded")


def check_fresh_process(case: Case) -> None:
    """A fit in another process, in another folder, gives the same bytes."""
    same(case.other_process["refitted"], case.expected, "a fit in another process differs")


def check_state_in_fresh_process(case: Case) -> None:
    """The state alone gives the same bytes in another process."""
    same(case.other_process["restored"], case.expected, "load_state in another process differs")


def checks(case: Case) -> tuple[Callable[[Any], None], ...]:
    """The checks that apply; components that learn nothing only have to repeat themselves."""
    if not case.learns:
        return (check_same_seed, check_answer_repeatable, check_fresh_process)
    seeds = (check_same_seed,) if case.cls.deterministic else (check_same_seed, check_other_seed)
    return (
        check_unfitted_refuses,
        *seeds,
        check_answer_repeatable,
        check_refit_forgets,
        check_state_plain,
        check_state_enough,
        check_fresh_process,
        check_state_in_fresh_process,
    )


def _bytes(state: dict[str, NDArray[Any]]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in ((k, np.asarray(v)) for k, v in state.items())}
