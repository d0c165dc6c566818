"""The command line. Commands only call the library; errors become one line and an exit code here and nowhere else."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from types import FrameType
from typing import Any, NoReturn

INTERNAL_ERROR = 70  # a defect of vibro itself
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
    for name in ("runs", "label", "learn", "watch", "compare", "project", "demo"):
        import_module(f"vibro.cli.{name}").add_to(app)
    return app


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of ``vibro``."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks
            signal.signal(number, _terminated)
    code = run(sys.argv[1:] if argv is None else list(argv))
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(argv: list[str]) -> int:
    """Runs one command line; returns its exit code (docs/cli.md)."""
    import typer
    import typer.main

    from vibro.errors import VibroError

    argv = _options_last(argv)
    debug = "--debug" in argv
    group = argv[0] if argv and not argv[0].startswith("-") else None if COMPLETING in os.environ else ""
    _configure(argv)
    try:
        code = typer.main.get_command(make_app(group)).main(argv, prog_name="vibro", standalone_mode=False)
        return int(code or 0)
    except VibroError as error:
        return _report(error.message, error.hint, error.exit_code, debug=debug)
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
    except BrokenPipeError:
        return 141
    except MemoryError:
        return _report("out of memory", "use --memory, fewer records, or the ensemble quick", 8, debug=debug)
    except Exception as error:  # a defect of vibro: still one line, the traceback on request
        return _report(
            f"internal error: {type(error).__name__}: {error}", "run again with --debug", INTERNAL_ERROR, debug=debug
        )


def _options_last(argv: list[str]) -> list[str]:
    """Options of every command that stand before it, behind it: ``vibro --json score ...`` is ``vibro score ... --json``."""
    first = 0
    while first < len(argv) and (argv[first] in (*FLAGS, "--lang") or argv[first].startswith("--lang=")):
        first += 2 if argv[first] == "--lang" else 1
    return [*argv[first:], *argv[:first]] if first < len(argv) and not argv[first].startswith("-") else argv


def _configure(argv: Sequence[str]) -> None:
    """How errors are shown, also those of a command line that cannot be read."""
    from vibro.cli import console

    chinese = "--lang=zh" in argv or ("--lang", "zh") in pairwise(argv)
    console.configure(quiet="--quiet" in argv, json="--json" in argv, lang="zh" if chinese else "en")


def _usage_error() -> Any:
    """The base class of typer's usage errors, found by name: its module differs between versions of typer."""
    import typer

    return next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "UsageError")


class _TerminatedError(BaseException):
    """SIGTERM or SIGHUP, so that locks are released and temporary files removed on the way out."""


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise _TerminatedError


def _report(message: str, hint: str | None, code: int, *, debug: bool) -> int:
    from vibro.cli import console

    if debug:
        import traceback

        traceback.print_exc()
    console.error(message, hint, code)
    return code
