"""The command line. Commands only call the library; errors become one line and an exit code here and nowhere else."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from types import FrameType
from typing import Any, NoReturn

INTERNAL_ERROR = 70  # a defect of vibro itself
BROKEN_PIPE = 141  # whoever read the results has ended: 128 + SIGPIPE, as shells have it
CANNOT_WRITE = 8  # stdout takes no more
_NAMES = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR}  # no path that could be
_RESOURCES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
COMPLETING = "_VIBRO_COMPLETE"  # set by a shell that asks what could come next
FLAGS = ("--json", "--quiet", "--debug", "--no-plugins")  # options of every command that take no value

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(
        _pool, "1"
    )  # the executor runs tasks side by side; threads inside each would compete for the same cores


GROUPS = {
    "ensemble": "Run, list and show ensembles.",
    "data": "Check, convert, label and simulate data.",
    "plugins": "List, inspect, write and check plugins.",
    "benchmark": "Compare detector combinations on labelled data.",
}


def make_app(group: str | None = None) -> Any:
    """The typer application. With ``group`` only that group's module is imported, so that a command starts sooner.

    The help of the program itself (``group`` is empty) is plain text: rich takes longer to import than all the rest.
    """
    import typer

    from vibro.cli.command import show_top

    app = typer.Typer(
        name="vibro",
        help="An ensemble of anomaly detectors over vibration records: one verdict per record.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None if group == "" else "rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(show_top)
    for name, text in GROUPS.items():
        filled = group is None or name == group
        commands = import_module(f"vibro.cli.{name}").app if filled else typer.Typer()
        app.add_typer(commands, name=name, help=text)
    for name in ("runs", "label", "learn", "watch", "compare", "distil", "export", "project", "demo"):
        import_module(f"vibro.cli.{name}").add_to(app)
    return app


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of ``vibro``."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks
            signal.signal(number, _terminated)
    _ready_streams()
    code = run(sys.argv[1:] if argv is None else list(argv))
    for stream, failed in ((sys.stdout, CANNOT_WRITE), (sys.stderr, code)):
        try:
            stream.flush()
        except OSError as error:
            code = code or (BROKEN_PIPE if error.errno == errno.EPIPE else failed)
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # for the flush at the very end
    sys.exit(code)


def _ready_streams() -> None:
    """A closed stdout or stderr is the null device; what a terminal's encoding lacks is written as an escape."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  (as long as the process)
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def run(argv: list[str]) -> int:
    """Runs one command line; returns its exit code (docs/cli.md)."""
    import typer
    import typer.main

    from vibro.errors import VibroError, short_of_memory

    argv = _options_last(argv)
    debug = "--debug" in argv
    group = argv[0] if argv and not argv[0].startswith("-") else None if COMPLETING in os.environ else ""
    try:
        _configure(argv)
        command = typer.main.get_command(make_app(group))
        if _chinese(argv):
            from vibro.cli.command import translate_help

            translate_help(command)
        code = command.main(argv, prog_name="vibro", standalone_mode=False)
        return int(code or 0)
    except typer.Exit as error:
        return error.exit_code
    except _usage_error() as error:
        message = error.format_message()
        if not message:  # no command was given, and the help is on the screen already
            return 2
        context = error.ctx
        hint = f"{context.command_path} --help" if context is not None else None
        return _report(message, hint, 2, debug=debug)
    except (KeyboardInterrupt, typer.Abort):
        return _report("interrupted", None, 130, debug=debug)
    except _TerminatedError:
        return _report("terminated", None, 143, debug=debug)
    except SystemExit as error:  # of click, which ends so when a pipe has closed
        closed = isinstance(error.__context__, OSError) and error.__context__.errno == errno.EPIPE
        return BROKEN_PIPE if closed else _code_of(error)
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:
        if short_of_memory(error) and not (isinstance(error, VibroError) and error.exit_code == 8):
            return _report("out of memory", "use --memory, fewer records, or the ensemble quick", 8, debug=debug)
        if isinstance(error, VibroError):
            return _report(error.message, error.hint, error.exit_code, debug=debug)
        if isinstance(error, OSError) and error.errno in _NAMES:
            name = str(error.filename)
            shown = name if len(name) < 60 else f"{name[:28]}...{name[-28:]}"
            return _report(f"{error.strerror}: {shown}".lower(), "check that name", 2, debug=debug)
        if isinstance(error, OSError) and error.errno in _RESOURCES:
            where = f"cannot write {error.filename or 'the results'}"
            return _report(f"{where}: {error.strerror}", "free space on that disk", 8, debug=debug)
        return _report(  # a defect of vibro: still one line, the traceback on request
            f"internal error: {type(error).__name__}: {error}", "run again with --debug", INTERNAL_ERROR, debug=debug
        )


def _code_of(error: SystemExit) -> int:
    return error.code if isinstance(error.code, int) else INTERNAL_ERROR if error.code else 0


def _options_last(argv: list[str]) -> list[str]:
    """Options of every command that stand before it, behind it: ``vibro --json score ...`` is ``vibro score ... --json``."""
    first = 0
    while first < len(argv) and (argv[first] in (*FLAGS, "--lang") or argv[first].startswith("--lang=")):
        first += 2 if argv[first] == "--lang" else 1
    return [*argv[first:], *argv[:first]] if first < len(argv) and not argv[first].startswith("-") else argv


def _configure(argv: Sequence[str]) -> None:
    """How errors are shown, also those of a command line that cannot be read."""
    from vibro.cli import console

    console.configure(quiet="--quiet" in argv, json="--json" in argv, lang="zh" if _chinese(argv) else "en")


def _chinese(argv: Sequence[str]) -> bool:
    return "--lang=zh" in argv or ("--lang", "zh") in pairwise(argv)


def _usage_error() -> Any:
    """The base class of typer's usage errors, found by name: its module differs between versions of typer."""
    import typer

    return next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "UsageError")


class _TerminatedError(BaseException):
    """SIGTERM or SIGHUP, so that locks are released and temporary files removed on the way out."""


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise _TerminatedError


def _report(message: str, hint: str | None, code: int, *, debug: bool) -> int:
    """Shows an error; where even that fails, a line without any colour or library."""
    try:
        from vibro.cli import console

        if debug:
            import traceback

            traceback.print_exc()
        console.error(message, hint, code)
    except (OSError, ImportError, MemoryError, ValueError):
        with suppress(OSError, ValueError):
            os.write(2, f"error: {message}\n".encode("ascii", "backslashreplace"))
    return code
