"""Thirty and more hostile plugins as text: what their import does, and what their fit and score do."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent, indent

DETECTOR = '''
import contextlib, ctypes, os, random, resource, signal, subprocess, sys, time, threading, warnings
import numpy as np
from vibro import hookimpl
from vibro.api import Detector, NotFittedError
{top}

class Hostile(Detector):
    """A detector that does {name}."""
    name = "hostile"
    view = "spectrum"
    item = "f"
    min_rows = 2

    def fit(self, x, y=None):
        self.centre = x.mean(axis=0, dtype=np.float64)
{fit}

    def score(self, x):
        if not hasattr(self, "centre"):
            raise NotFittedError("fit first")
        s = np.abs(x - self.centre).mean(axis=1)
{score}
        return s

    def state(self):
        if not hasattr(self, "centre"):
            raise NotFittedError("fit first")
        return {{"centre": self.centre}}

    def load_state(self, state):
        self.centre = state["centre"]


@hookimpl
def register_detectors(register):
    register(Hostile)
{bottom}
'''


@dataclass(frozen=True)
class Hostile:
    """One plugin: ``phase`` says where a run is hurt: import, run, or nowhere (scores wrong, but formally right)."""

    phase: str
    top: str = ""
    fit: str = ""
    score: str = ""
    bottom: str = ""
    said: str = ""  # part of the reason

    def text(self, name: str) -> str:
        """Source of the module."""
        body = {key: indent(dedent(getattr(self, key)).strip(), "        ") for key in ("fit", "score")}
        return DETECTOR.format(name=name, top=self.top, bottom=dedent(self.bottom), **body)


ZOO: dict[str, Hostile] = {
    # --- import -------------------------------------------------------------------------------------------------------
    "raises_at_import": Hostile("import", top="1 / 0", said="ZeroDivisionError"),
    "syntax_error": Hostile("import", top="def (:", said="SyntaxError"),
    "missing_package": Hostile("import", top="import no_such_package_anywhere", said="no_such_package_anywhere"),
    "slow_import": Hostile("import", top="time.sleep(60)", said="its import took longer than"),
    "exits_at_import": Hostile("import", top="sys.exit(0)", said="SystemExit"),
    "dies_at_import": Hostile("import", top="os._exit(0)", said="ended its process"),
    "wrong_api": Hostile("import", bottom="Hostile.api = 99", said="contract version 99"),
    "registers_nothing_known": Hostile(
        "import", bottom="@hookimpl\ndef register_oracles(register):\n    pass", said="register_oracles"
    ),
    "registers_an_object": Hostile(
        "import", bottom="@hookimpl\ndef register_fusers(register):\n    register(Hostile)", said="which is no Fuser"
    ),
    "bad_name": Hostile("import", bottom='Hostile.name = "no name"', said="no name"),
    "prints_at_import": Hostile("", top='print("hello", flush=True)'),
    "registers_twice": Hostile(
        "", bottom="@hookimpl(specname='register_detectors')\ndef again(register):\n    register(Hostile)"
    ),
    # --- errors -------------------------------------------------------------------------------------------------------
    "raises_in_fit": Hostile("run", fit='raise RuntimeError("no luck")', said="no luck"),
    "raises_in_score": Hostile("run", score='raise ValueError("bad day")', said="bad day"),
    "keyboard_interrupt": Hostile("run", fit="raise KeyboardInterrupt", said="KeyboardInterrupt"),
    "system_exit": Hostile("run", score="sys.exit(3)", said="SystemExit"),
    "memory_error": Hostile("run", fit="raise MemoryError", said="MemoryError"),
    "unprintable_error": Hostile(
        "run",
        top="class Mute(Exception):\n    def __str__(self):\n        raise RuntimeError",
        fit="raise Mute",
        said="Mute",
    ),
    # --- wrong results ------------------------------------------------------------------------------------------------
    "none": Hostile("run", score="return None", said="NoneType"),
    "all_nan": Hostile("run", score="s[:] = np.nan", said="not finite"),
    "infinite": Hostile("run", score="s[:] = np.inf", said="not finite"),
    "too_long": Hostile("run", score="return np.append(s, 1.0)", said="shape"),
    "two_dimensions": Hostile("run", score="return s[:, None]", said="shape"),
    "text": Hostile("run", score='return np.array(["high"] * len(s))', said="not real numbers"),
    "complex": Hostile("run", score="return s * 1j", said="complex"),
    "a_list": Hostile("run", score="return list(s)", said="list"),
    "an_object": Hostile("run", score="return object()", said="cannot be handed over"),
    "constant": Hostile("run", score="return np.zeros(len(s))", said="insensitive"),
    "one_nan": Hostile("", score="if len(s) > 1: s[0] = np.nan"),
    "upside_down": Hostile("run", score="return -s", said="insensitive"),
    "not_deterministic": Hostile("", score="s = s * (1 + 1e-6 * np.random.default_rng().random(len(s)))"),
    "object_state": Hostile(
        "run", bottom="Hostile.state = lambda self: {'centre': [object()]}", said="cannot be handed over"
    ),
    # --- manners ------------------------------------------------------------------------------------------------------
    "mutates_input": Hostile("run", fit="x[:] = 0", said="read-only"),
    "forces_input": Hostile("", fit="with contextlib.suppress(ValueError):\n    x.flags.writeable = True\n    x[:] = 0"),
    "keeps_a_reference": Hostile("", fit="self.kept = x", score="s = s + 1e-9 * np.sum(getattr(self, 'kept', 0))"),
    "global_seeds": Hostile("", fit="np.random.seed(0); random.seed(0)"),
    "changes_the_process": Hostile(
        "", fit='os.chdir("/"); os.environ["HOME"] = "/"; warnings.simplefilter("error"); os.umask(0)'
    ),
    "signal_handlers": Hostile("", fit="signal.signal(signal.SIGTERM, signal.SIG_IGN)"),
    "patches_numpy": Hostile("", fit="np.median = np.mean = lambda *a, **k: 7.0"),
    "loud": Hostile("", fit='[sys.stdout.write("x" * 1_000_000 + "\\n") for _ in range(20)]'),
    # --- resources ----------------------------------------------------------------------------------------------------
    "hangs": Hostile("run", fit="while True: time.sleep(1)", said="took longer than"),
    "hangs_and_ignores_signals": Hostile(
        "run",
        score="signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)",
        said="took longer than",
    ),
    "forks": Hostile("", fit='subprocess.Popen(["sleep", "300"])'),
    "forks_and_hangs": Hostile(
        "run", fit='subprocess.Popen(["sleep", "300"], start_new_session=True)\ntime.sleep(300)', said="took longer than"
    ),
    "forks_without_exec": Hostile("run", fit="if os.fork() == 0: time.sleep(300)\nos._exit(1)", said="exit code 1"),
    "quiet_death": Hostile("run", fit="os._exit(0)", said="ended its process"),
    "segfault": Hostile("run", score="ctypes.string_at(0)", said="SIGSEGV"),
    "takes_20_gigabytes": Hostile("run", fit="self.big = np.ones(20 << 27)", said="MemoryError"),
    "leaks": Hostile("", score="Hostile.hoard = getattr(Hostile, 'hoard', []) + [np.ones(50 << 17)]"),
    "many_files": Hostile("run", fit="Hostile.files = [open(os.devnull) for _ in range(10_000)]", said="Too many open files"),
    "large_file": Hostile("run", fit='open("big", "wb").write(bytes(200 << 20))', said="File too large"),
    "floods_the_channel": Hostile(
        "run",
        fit="""
        for n in range(3, 64):
            with contextlib.suppress(OSError):
                if stat.S_ISFIFO(os.fstat(n).st_mode):
                    os.write(n, b"{} nonsense\\n" * 10)
        """,
        top="import stat",
        said="nonsense",
    ),
}  # fmt: skip
