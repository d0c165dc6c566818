"""Events to a command or a webhook: each at least once, tried again until it is taken."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from vibro.errors import ConfigError
from vibro.store.journal import Journal

TIMEOUT = 10.0  # seconds for the taker
FIRST, LONGEST = 1.0, 300.0  # seconds until the next try; it doubles with every failure


class Deliver:
    """Sends events that the journal holds; one that is not taken waits and holds back those behind it, so that order stays."""

    def __init__(
        self,
        command: Sequence[str],
        webhook: str,
        say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if webhook and urlsplit(webhook).scheme not in ("http", "https"):
            raise ConfigError(f"--webhook {webhook!r} is no http address", hint="--webhook http://localhost:8080/alarm")
        self._command, self._webhook, self._say, self._now = tuple(command), webhook, say, now
        self._next, self._pause = 0.0, FIRST

    @property
    def wanted(self) -> bool:
        """Whether anyone is to be told."""
        return bool(self._command or self._webhook)

    def waits(self, journal: Journal) -> bool:
        """Whether an event has not been taken yet."""
        return self.wanted and bool(journal.rows("SELECT 1 FROM events WHERE waiting LIMIT 1"))

    def send(self, journal: Journal) -> None:
        """Sends what waits, in order; stops at the first failure until its pause is over."""
        if not self.wanted or self._now() < self._next:
            return
        for number, line in journal.rows("SELECT number, line FROM events WHERE waiting ORDER BY number"):
            why = self._try(line)
            if why:
                self._next = self._now() + self._pause
                self._say(f"an event was not taken: {why}; tried again in {self._pause:g} s")
                self._pause = min(2 * self._pause, LONGEST)
                return
            self._pause = FIRST
            with journal.transaction() as change:
                change.run("UPDATE events SET waiting = 0 WHERE number = ?", number)

    def _try(self, line: str) -> str:
        """Sends one event; why it was not taken, empty if it was."""
        try:
            if self._command:
                done = subprocess.run(self._command, input=line.encode(), timeout=TIMEOUT, capture_output=True)
                if done.returncode:
                    return f"{self._command[0]} ended with {done.returncode}"
            if self._webhook:
                request = Request(self._webhook, line.encode(), {"Content-Type": "application/json"})  # noqa: S310
                # http or https, checked above
                with urlopen(request, timeout=TIMEOUT):  # noqa: S310  # nosec B310
                    pass
        except (OSError, URLError, subprocess.TimeoutExpired, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return ""
