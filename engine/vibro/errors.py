"""Every error a user can meet: one family a cause, with its exit code (docs/cli.md) and the next thing to type."""

from __future__ import annotations


class VibroError(Exception):
    """Base of all errors meant for the user; never raised itself."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(VibroError):
    """An option, registry, ensemble, parameter or table of labels or covariates is wrong."""

    exit_code = 2


class UnknownComponentError(ConfigError):
    """No loaded or loadable plugin offers the component."""


class DataError(VibroError):
    """The input holds nothing that can be used."""

    exit_code = 3


class QuarantineError(VibroError):
    """More records were quarantined than the caller allows."""

    exit_code = 4


class PluginError(VibroError):
    """A plugin that was asked for failed to load or to run."""

    exit_code = 5

    def __init__(self, message: str, *, plugin: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin


class PluginLoadError(PluginError):
    """A plugin could not be imported or registered."""


class DuplicateComponentError(PluginError):
    """Two plugins offer a component of the same kind and name."""


class ContractError(PluginError):
    """A component returned something that its contract forbids."""


class PluginTimeoutError(PluginError):
    """A plugin passed its time limit."""


class QuorumError(PluginError):
    """Too few detectors survived to give a verdict."""


class StateError(VibroError):
    """A file of a run or model is damaged, missing or extra."""

    exit_code = 6


class LockedError(VibroError):
    """Another run works in the directory."""

    exit_code = 7


class ResourceError(VibroError):
    """Disk or memory is short."""

    exit_code = 8


class IncompatibleModelError(VibroError):
    """The model was made for other data (fs, length, channels, unit) or by incompatible versions."""

    exit_code = 9


class ParityError(VibroError):
    """An exported model gives other scores or levels than the model itself."""

    exit_code = 1


class NotFittedError(VibroError):
    """A component was used before ``fit`` or ``load_state``."""

    exit_code = 5


class NotApplicableError(VibroError):
    """Raised by a component's ``fit`` that cannot learn from the data it was given.

    The engine skips the detector, marks it ``excluded`` and shows the message as the reason; the run goes on.
    """

    exit_code = 5


_SHORT = (
    "failed to map segment",
    "can't allocate memory",
    "cannot allocate memory",
    "can't start new thread",
    "bad_alloc",
)


def short_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says that memory is short, in whatever words its library has."""
    while error is not None:
        text = str(error).lower() if isinstance(error, OSError | ImportError | RuntimeError | SystemError) else ""
        if isinstance(error, MemoryError) or any(words in text for words in _SHORT):
            return True
        error = error.__cause__
    return False
