"""What is left of vibro's results when the disk fails at any call, or the process is killed at any moment.

    python -m benchmarks.scale.faults [WORK ...] [--errors ENOSPC,EIO,...,SIGKILL,SIGINT,...] [--stride 1] [--times 0]

Every WORK is a command on a small set of records. For n = 1, 2, 3, ... its n-th call that changes a file fails
(``faults.c``, which needs a C compiler), until one run meets no fault. SIGKILL ends the process there instead, in the middle
of a write; SIGINT and SIGTERM come in there. ``--times 100`` kills it at random moments as well. After each of them

- the command has ended with exit code 8 (a signal: 130, 143), one sentence and no traceback, or with 0 and the right results;
- a run that was there before is whole, and is the old one or the new one;
- the same command again (with ``--resume`` where there is one) ends in the results of an undisturbed run, byte for byte,
  and leaves nothing beside them.

Times, durations and the command line are no results. Exit code 1 says that one of these did not hold.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
VOLATILE = {
    "digest",
    "fit_seconds",
    "score_seconds",
    "timings",
    "max_rss_mb",
    "started",
    "finished",
    "command",
    "resume",
}
VOLATILE |= {"memory", "decisions"}  # a share of what is free; one more, with its time, whenever a run is decided anew
UNSTABLE = {"events.jsonl", "report.html", ".vibro.lock", ".vibro.lock.json"}  # with times in their text
LIMIT = 120.0  # seconds that one command may take
FEW = ["--ensemble", "quick", "--detectors", "mahalanobis,knn", "--executor", "serial"]
ERRORS = "ENOSPC,EIO,EACCES,EDQUOT,SIGKILL,SIGINT,SIGTERM"
CODES = (0, 8, 130, 143, -signal.SIGKILL)


@dataclass(frozen=True)
class Work:
    """A command; ``before`` makes what lies in OUT when it begins, ``again`` is added when it is run again."""

    line: tuple[str, ...]
    before: str = ""
    again: tuple[str, ...] = ()


WORKS = {
    "run": Work(("ensemble", "run", "DATA", "-o", "OUT", *FEW), again=("--resume",)),
    "run-over": Work(("ensemble", "run", "DATA", "-o", "OUT", *FEW, "--force"), "other", ("--resume",)),
    "score": Work(("score", "MODEL", "DATA", "-o", "OUT"), again=("--resume",)),
    "score-over": Work(("score", "MODEL", "DATA", "-o", "OUT", "--force"), "other", ("--resume",)),
    "threshold": Work(("threshold", "OUT", "--budget", "0.2"), "run"),
    "threshold-copy": Work(("threshold", "MODEL", "--budget", "0.2", "-o", "OUT")),
    "label": Work(("label", "OUT", "pool.jsonl:58", "--as", "fault", "--type", "wear"), "run"),
    "accept": Work(("accept", "OUT", "a", "--since", "2024-01-01T00:10:00Z"), "run"),
    "report": Work(("report", "OUT"), "run"),
    "pseudolabel": Work(("pseudolabel", "MODEL", "-o", "OUT/table.csv"), "folder"),
    "convert": Work(("data", "convert", "DATA", "-o", "OUT/pool.npz"), "folder"),
    "simulate": Work(("data", "simulate", "-o", "OUT", "--records", "20", "--sensors", "2")),
}


def records(path: Path, n: int = 60, bad: int = 1) -> Path:
    """Tones in noise of two sensors, the last ones with impacts, and lines that hold no record."""
    rng, t = np.random.default_rng(0), np.arange(448) / 4096
    x = np.sin(2 * np.pi * 200 * t + rng.uniform(0, 6, (n, 1))) + 0.3 * rng.standard_normal((n, len(t)))
    x[n - 4 :] += 10 * (rng.random((4, len(t))) < 0.03)
    with path.open("w") as out:
        for i, row in enumerate(x):
            told = {"data_time": f"2024-01-01T{i // 60:02}:{i % 60:02}:00Z", "sensor_id": "ab"[i % 2], "fs": 4096}
            out.write(json.dumps({**told, "signal_value": ",".join(f"{v:.5f}" for v in row)}) + "\n")
        out.write('{"broken\n' * bad)
    return path


def state(folder: Path) -> dict[str, Any]:
    """What a folder holds: the bytes of its files; of JSON everything but times, durations and the hashes of such files."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or path.name in UNSTABLE:
            continue
        found[name] = path.read_bytes()
        if path.suffix == ".json":
            with suppress(ValueError):  # torn
                found[name] = _lasting(json.loads(found[name]))
        elif path.name == "labels.csv":  # with the time of day of each row
            found[name] = [line.rpartition(b",")[0] for line in found[name].splitlines()]
    return found


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: sorted(inner) if key == "files" and isinstance(inner, dict) else _lasting(inner)
            for key, inner in value.items()
            if key not in VOLATILE
        }
    return [_lasting(inner) for inner in value] if isinstance(value, list) else value


class Bench:
    """A folder with the data, undisturbed results, and a place where commands are disturbed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "place"  # all that a command may write: OUT, cache, temporary files
        self.out = self.place / "out"
        self.library = ctypes.CDLL(None)
        self.data = records(folder / "pool.jsonl")
        self.seeds = {"folder": folder / "folder"}  # what OUT may hold before a command
        self.seeds["folder"].mkdir()
        self.said = ""
        self.seed("run")

    def seed(self, name: str) -> None:
        """An undisturbed run for OUT, and as the model of commands that take one."""
        more = {"run": (), "other": ("--seed", "7", "--no-report")}[name]
        self.reset("")
        if self.attempt(("ensemble", "run", "DATA", "-o", "OUT", *FEW, *more)):
            raise SystemExit(f"the undisturbed run failed: {self.said}")
        self.seeds[name] = Path(shutil.copytree(self.out, self.folder / name))
        for module in (self.folder / "modules").read_text().split():  # once, here, and not in every child
            with suppress(Exception):
                import_module(module)

    def reset(self, before: str) -> None:
        """Clears the place; OUT as the command finds it."""
        if before and before not in self.seeds:
            self.seed(before)
        shutil.rmtree(self.place, ignore_errors=True)
        for part in ("tmp", "cache", "home"):
            (self.place / part).mkdir(parents=True)
        if before:
            shutil.copytree(self.seeds[before], self.out)

    def line(self, line: tuple[str, ...]) -> list[str]:
        """A command line with its paths."""
        model = str(self.folder / "run")
        words = {"DATA": str(self.data), "MODEL": model}
        return [words.get(word, str(self.out) + word[3:] if word.startswith("OUT") else word) for word in line]

    def attempt(
        self, line: tuple[str, ...], fault: Callable[[], None] = lambda: None, kill_after: float | None = None
    ) -> int:
        """The exit code of a command in a process of its own, -9 if it was killed; ``said`` holds what it wrote."""
        said, told = self.folder / "said", self.folder / "calls"
        sys.stdout.flush()
        told.write_text("-1")
        child = os.fork()
        if not child:
            self._be(self.line(line), fault, said, told)
        end = time.monotonic() + (LIMIT if kill_after is None else kill_after)
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                ended = os.waitpid(child, 0)
                break
            time.sleep(0.005)
        self.said = said.read_text(errors="replace")
        return os.waitstatus_to_exitcode(ended[1])

    def _be(self, argv: list[str], fault: Callable[[], None], said: Path, told: Path) -> None:
        """The child: the command, its streams in a file, and its exit code."""
        code = 70
        try:
            out = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            count = os.open(told, os.O_WRONLY)
            environ = {"TMPDIR": "tmp", "VIBRO_CACHE_DIR": "cache", "HOME": "home", "XDG_CACHE_HOME": "cache"}
            os.environ.update({name: str(self.place / part) for name, part in environ.items()})
            tempfile.tempdir = None
            from vibro.cli import main

            signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
            fault()
            try:
                main([*argv, "--quiet"])
            except SystemExit as error:
                code = int(error.code or 0)
            calls = self.library.vibro_calls()
            self.library.vibro_fault(b"", ctypes.c_long(0), 0, 0)
            os.write(count, str(calls).encode())
            (self.folder / "modules").write_text("\n".join(name for name in sys.modules if not name.startswith("_")))
        except BaseException:
            traceback.print_exc()
        os._exit(code)

    def calls(self) -> int:
        """How many calls of the last attempt changed something; -1 if it was killed."""
        return int((self.folder / "calls").read_text())

    def fault(self, n: int, code: int) -> Callable[[], None]:
        """Lets call n fail; a full disk stays full."""
        stays = code in (errno.ENOSPC, errno.EDQUOT)
        return lambda: self.library.vibro_fault(str(self.place).encode(), ctypes.c_long(n), code, int(stays))


class Trial:
    """One command, disturbed again and again; ``wrong`` collects what did not hold."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench, self.name, self.work = bench, name, WORKS[name]
        self.wrong: list[str] = []
        self.tries = 0
        bench.reset(self.work.before)
        self.old = state(bench.out) if self.work.before not in ("", "folder") else None
        begun = time.monotonic()
        code = bench.attempt(self.work.line, bench.fault(-1, errno.EIO))
        self.seconds = time.monotonic() - begun
        self.calls = bench.calls()
        if code:
            raise SystemExit(f"{name}, undisturbed, ended with {code}: {bench.said}")
        self.new = state(bench.out)
        if self.old == self.new and name != "report":
            raise SystemExit(f"{name} changes nothing")

    def disturb(self, what: str, fault: Callable[[], None] = lambda: None, kill_after: float | None = None) -> None:
        """One disturbed command, and what must hold afterwards."""
        bench = self.bench
        self.tries += 1
        bench.reset(self.work.before)
        code = bench.attempt(self.work.line, fault, kill_after)
        try:
            self._check(code)
        except AssertionError as error:
            self.wrong.append(f"{self.name}, {what}: {error}")
            print(self.wrong[-1], flush=True)

    def _check(self, code: int) -> None:
        bench = self.bench
        said = bench.said.strip()
        assert "Traceback" not in said and "internal error" not in said, f"exit {code}: {said[-1500:]}"
        assert code in CODES, f"exit {code}: {said[-500:]}"
        if code == 8:
            line = next((line for line in said.splitlines() if line.startswith("error: ")), "")
            assert "cannot" in line, f"the message does not say what is wrong: {said[-300:]}"
            assert str(bench.place) in said, f"the message names no path: {said[-300:]}"
        found = self._found()
        if code == 0:
            assert found == self.new, f"exit 0 with other results: {differences(found, self.new)}"
            if not leftovers(bench):
                return
        if self.old is not None:
            assert found in (self.old, self.new), f"neither the old nor the new: {differences(found, self.old)}"
        code = bench.attempt(self.work.line + self.work.again)
        made = found == self.new  # it may be refused then, or count as a second one
        assert code == 0 or (code == 2 and made), f"the command again ended with {code}: {bench.said[-500:]}"
        found = self._found()
        assert found == self.new or (made and not self.work.again), f"and then: {differences(found, self.new)}"
        assert not leftovers(bench), f"left beside OUT: {leftovers(bench)}"

    def _found(self) -> dict[str, Any] | None:
        """What OUT holds; a run is verified first."""
        from vibro.errors import VibroError
        from vibro.store import manifest

        out = self.bench.out
        if self.old is not None and (out / "manifest.json").exists():
            try:
                manifest.verify(out)
            except VibroError as error:
                raise AssertionError(f"OUT is damaged: {error}") from None
        if self.old is None and not out.is_dir():
            return None
        unfinished = re.compile(r"failed/|(.*/)?\.tmp-")
        return {name: content for name, content in state(out).items() if not unfinished.match(name)}


def leftovers(bench: Bench) -> list[str]:
    """Names beside OUT and unfinished files in it."""
    beside = [path.name for path in bench.place.iterdir() if path.name not in {"out", "tmp", "cache", "home"}]
    return sorted([*beside, *(path.name for path in bench.out.rglob("*") if ".tmp-" in path.name)])


def differences(a: Any, b: Any, name: str = "") -> list[str]:
    """Where two folders differ: files, and the keys of JSON."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [found for key in sorted({*a, *b}) for found in differences(a.get(key), b.get(key), f"{name}/{key}")]
    return [] if a == b else [name + (": absent" if a is None else ": extra" if b is None else "")]


def preloaded(arguments: list[str]) -> int:
    """Runs this command with ``faults.c`` compiled and preloaded."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None or not sys.platform.startswith("linux"):
        raise SystemExit("needs Linux and a C compiler: cc, gcc or clang")
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/faults.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c"], check=True)
        environ = {**os.environ, "LD_PRELOAD": library, "OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, "-m", "benchmarks.scale.faults", *arguments], env=environ).returncode


def main() -> None:
    """Disturbs the commands that are asked for."""
    if not hasattr(ctypes.CDLL(None), "vibro_fault"):
        sys.exit(preloaded(sys.argv[1:]))
    parser = argparse.ArgumentParser()
    parser.add_argument("works", nargs="*", default=list(WORKS))
    parser.add_argument("--errors", default=ERRORS)
    parser.add_argument("--stride", type=int, default=1, help="every STRIDE-th call")
    parser.add_argument("--times", type=int, default=0, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance, failed = random.Random(args.seed), 0
    with tempfile.TemporaryDirectory(prefix="vibro-faults-") as folder:
        bench = Bench(Path(folder).resolve())
        for name in args.works:
            trial, begun = Trial(bench, name), time.monotonic()
            for error in filter(None, args.errors.split(",")):
                code = -getattr(signal, error) if error.startswith("SIG") else getattr(errno, error)
                for n in range(chance.randint(1, min(args.stride, trial.calls)), trial.calls + 1, args.stride):
                    trial.disturb(f"{error} at call {n} of {trial.calls}", bench.fault(n, code))
            for _ in range(args.times):
                moment = chance.uniform(0, 1.1 * trial.seconds)
                trial.disturb(f"killed after {moment:.3f} s", kill_after=moment)
            seconds = time.monotonic() - begun
            print(
                f"{name}: {trial.calls} calls, {trial.tries} tries, {len(trial.wrong)} wrong, {seconds:.0f} s",
                flush=True,
            )
            failed += len(trial.wrong)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
