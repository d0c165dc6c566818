"""How the checks of the conformance kit fail: a condition, equal or close arrays, a clean refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.errors import ContractError, VibroError

TOLERANCE = 1e-6  # relative to the value or to the standard deviation of all values, whichever is larger


class CheckFailedError(AssertionError):
    """A component does not do what a check demands; the message says in what way."""


def fail(message: str) -> NoReturn:
    """Fails the check with this message."""
    raise CheckFailedError(message)


def require(condition: object, message: str) -> None:
    """Fails the check unless the condition holds."""
    if not condition:
        fail(message)


def overrides(cls: type, method: str) -> bool:
    """Whether a component class has a method of its own, not only that of the contract."""
    return any(method in vars(base) for base in cls.__mro__ if base.__module__ != "vibro.api")


def fresh_copy(state: State) -> State:
    """The state as it comes back from a file: new arrays of the same bytes, nothing shared."""
    return {str(name): np.array(array, copy=True, order="C") for name, array in state.items()}


def same(a: NDArray[Any], b: NDArray[Any], why: str) -> None:
    """Fails the check unless both arrays hold the same values exactly (NaN equals NaN)."""
    require(a.shape == b.shape, f"{why}: shapes {a.shape} and {b.shape}")
    if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        row = _first(a != b)
        fail(f"{why}: first in row {row}: {_at(a, row)} and {_at(b, row)}")


def close(a: NDArray[Any], b: NDArray[Any], why: str, spread: float | None = None) -> None:
    """Fails the check unless both arrays agree within TOLERANCE; ``spread`` replaces the standard deviation of ``a``."""
    require(a.shape == b.shape, f"{why}: shapes {a.shape} and {b.shape}")
    finite = a[np.isfinite(a)]
    scale = spread if spread is not None else float(finite.std()) if finite.size else 0.0
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(a - b) <= TOLERANCE * np.maximum(np.abs(a), scale)) & ~(np.isnan(a) & np.isnan(b))
    if wrong.any():
        row = _first(wrong)
        fail(f"{why}: {int(wrong.sum())} of {wrong.size} values, first in row {row}: {_at(a, row)} and {_at(b, row)}")


def _first(wrong: NDArray[np.bool_]) -> int:
    return int(np.argwhere(wrong)[0][0]) if wrong.ndim else 0


def _at(array: NDArray[Any], row: int) -> str:
    return np.array2string(np.atleast_1d(array)[row], precision=17, threshold=4, edgeitems=2)


def result_or_refusal(action: Callable[[], Any], what: str) -> Any:
    """The result of an action, None where it raised one of vibro's errors; any other error fails the check."""
    try:
        return action()
    except ContractError as error:
        fail(f"{what}: {error}")
    except VibroError:
        return None
    except Exception as error:
        fail(f"{what}: {type(error).__name__}: {error}; raise NotApplicableError where nothing can be learned")
