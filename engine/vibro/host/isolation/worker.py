"""A plugin's own process: started when first needed, asked one thing at a time, ended with all it has started."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vibro import errors
from vibro.errors import ContractError, PluginError, PluginLoadError, PluginTimeoutError, VibroError
from vibro.host.isolation.codec import decode, encode
from vibro.host.isolation.limits import Limits

IDLE = 5.0  # seconds after which an unused process is ended
MARK = "VIBRO_PLUGIN_PROCESS"  # in the environment of the process and of all it starts
_LINE = 1 << 16
_KEPT = 4096  # bytes of what the process printed last


class Worker:
    """The process of one plugin; ``ask`` starts it if it does not run."""

    def __init__(self, plugin: str, module: str, file: Path | None, limits: Limits) -> None:
        self.plugin = plugin
        self.module = module
        self.file = file
        self.limits = limits
        self.generation = 0
        self.forgotten: list[str] = []  # tokens of objects that are not used any more
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._token = ""
        self._requests = self._answers = -1
        self._printed = bytearray()
        self._unread = b""
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None

    # --- asking -------------------------------------------------------------------------------------------------------

    def describe(self) -> list[dict[str, Any]]:
        """Imports the plugin; a description of each component, or PluginLoadError or PluginTimeoutError with the reason."""
        with self._lock:
            if self._process is None:
                self._start()
            try:
                found = self._wait(self.limits.import_seconds, "its import", lambda done, total: None)
            except PluginTimeoutError:
                raise
            except PluginError as error:
                raise PluginLoadError(error.message, plugin=self.plugin) from None
            return list(found)

    def ask(
        self, request: Mapping[str, Any], what: str, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Any:
        """The answer to one request, whose values may be arrays; the plugin's error, or a PluginError for its end."""
        with self._lock:
            self.ready()
            assert self._folder is not None
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            try:
                (folder / "request.json").write_text(json.dumps(encode(request, folder)))
                self._send(f"{folder}\n".encode())
                return decode(self._wait(self.limits.seconds, what, progress), folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                if self._process is not None:
                    self._timer = threading.Timer(IDLE, self.close)
                    self._timer.daemon = True
                    self._timer.start()

    def ready(self) -> int:
        """Starts the process if it does not run; its generation, which tells one process from the next."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._process is not None and _has_ended(self._process.pid):
                self.close()
            if self._process is None:
                self.describe()
            return self.generation

    def close(self) -> None:
        """Ends the process, everything it has started, and its folder."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            process, self._process = self._process, None
            if process is None:
                return
            atexit.unregister(self.close)
            _kill_group(process.pid)
            process.wait()
            _kill_marked(self._token)
            for descriptor in (self._requests, self._answers):
                os.close(descriptor)
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    # --- the process --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.generation += 1
        self._folder = Path(tempfile.mkdtemp(prefix="vibro-plugin-"))
        self._token = secrets.token_hex(16)
        self._printed, self._unread = bytearray(), b""
        read_requests, self._requests = os.pipe()
        self._answers, write_answers = os.pipe()
        path = [str(Path(entry).resolve()) if entry else str(Path.cwd()) for entry in sys.path]
        setup = {
            "module": self.module,
            "file": None if self.file is None else str(self.file.resolve()),
            "plugin": self.plugin,
            "limits": asdict(self.limits),
            "descriptors": [read_requests, write_answers],
        }
        (self._folder / "setup.json").write_text(json.dumps(setup))
        (self._folder / "work").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "vibro.host.isolation.child", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder / "work",
            env={**os.environ, MARK: self._token, "PYTHONPATH": os.pathsep.join(path)},
            pass_fds=(read_requests, write_answers),
            start_new_session=True,
        )
        os.close(read_requests)
        os.close(write_answers)
        self._process = process
        threading.Thread(target=self._drain, args=(process.stdout, self._printed), daemon=True).start()
        atexit.register(self.close)

    @staticmethod
    def _drain(stream: Any, kept: bytearray) -> None:
        """Reads what the process prints, so that it never blocks, and keeps the end of it."""
        with stream:
            while block := stream.read1(1 << 16):
                kept += block
                del kept[:-_KEPT]

    def _send(self, message: bytes) -> None:
        try:
            os.write(self._requests, message)
        except BrokenPipeError:
            raise self._ended("a request") from None

    def _wait(self, seconds: float, what: str, progress: Callable[[int, int], None]) -> Any:
        """The process's next answer; any other end of the wait ends the process."""
        until = time.monotonic() + seconds
        try:
            while True:
                message = self._line(until, seconds, what)
                if "progress" in message:
                    done, total = message["progress"]
                    progress(int(done), int(total))
                elif "error" in message:
                    raise self._raised(message["error"])
                elif "answer" in message:
                    return message["answer"]
                else:
                    raise ContractError(f"plugin {self.plugin} sent an unknown message", plugin=self.plugin)
        except VibroError:
            raise
        except (ValueError, TypeError, KeyError) as error:
            self.close()
            raise ContractError(f"plugin {self.plugin} sent nonsense: {error}", plugin=self.plugin) from None
        except BaseException:
            self.close()
            raise

    def _line(self, until: float, seconds: float, what: str) -> dict[str, Any]:
        assert self._process is not None
        while b"\n" not in self._unread:
            left = until - time.monotonic()
            if left <= 0:
                self.close()
                raise PluginTimeoutError(
                    f"plugin {self.plugin} was stopped: {what} took longer than {seconds:g} s", plugin=self.plugin
                )
            ready, _, _ = select.select([self._answers], [], [], min(left, 0.2))
            block = os.read(self._answers, _LINE) if ready else b""
            if (ready and not block) or (not ready and _has_ended(self._process.pid)):
                raise self._ended(what)
            self._unread += block
            if len(self._unread) > 64 * _LINE:
                raise ValueError("an endless line")
        line, _, self._unread = self._unread.partition(b"\n")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("no table")
        return message

    def _ended(self, what: str) -> PluginError:
        """The error for a process that is gone."""
        process = self._process
        assert process is not None
        self.close()
        code = process.returncode
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        said = self._printed.decode("utf-8", "replace").strip().splitlines()
        tail = f"; it printed last: {said[-1][:200]}" if said else ""
        return PluginError(f"plugin {self.plugin} ended its process during {what} ({ended}){tail}", plugin=self.plugin)

    def _raised(self, error: Mapping[str, Any]) -> VibroError:
        """The plugin's own error: vibro's by its class, any other as a PluginError."""
        name, message = str(error["class"]), str(error["message"])
        family = getattr(errors, name, None)
        if isinstance(family, type) and issubclass(family, VibroError) and not issubclass(family, PluginError):
            return family(message)
        if not (isinstance(family, type) and issubclass(family, PluginError)):
            family, message = PluginError, f"{name}: {message}" if message else name
        return family(f"plugin {self.plugin}: {message}", plugin=self.plugin)


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; it stays to be waited for, so that its group cannot be another's."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _kill_marked(token: str) -> None:
    """Kills processes that left the group but carry the token that only this worker's process was given."""
    mark = f"{MARK}={token}".encode()
    for _ in range(5):
        found = False
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                handle = os.pidfd_open(int(entry.name))
            except OSError:
                continue
            try:
                if mark in (entry / "environ").read_bytes():
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    found = True
            except OSError:
                continue
            finally:
                os.close(handle)
        if not found:
            return
        time.sleep(0.01)
