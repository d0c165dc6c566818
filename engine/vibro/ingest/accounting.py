"""Accounting of an ingest: every item read is accepted or quarantined with a reason, counted per file and in total."""

from __future__ import annotations

import heapq
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import IO, Any

from vibro.data import Rejected
from vibro.io.files import disk_errors

REASONS = {
    "Q001": "decode",
    "Q002": "json",
    "Q003": "duplicate_key",
    "Q004": "not_object",
    "Q005": "missing_field",
    "Q006": "bad_number",
    "Q007": "non_finite",
    "Q008": "wrong_length",
    "Q009": "too_long_line",
    "Q010": "bad_time",
    "Q011": "time_conflict",
    "Q012": "duplicate_exact",
    "Q013": "fs_mismatch",
    "Q014": "constant",
    "Q015": "all_zero",
    "Q016": "clipped",
    "Q017": "low_mains_share",
    "Q018": "unit",
    "Q019": "archive_limit",
    "Q020": "path",
    "Q021": "repeated",
    "Q022": "gap",
    "Q023": "spikes",
    "Q024": "scale",
    "Q025": "clock",
}
QUARANTINED, INVALID, WARNING = "quarantined", "invalid", "warning"
_LAST = 1 << 62  # sorts a finding about a whole file after those about its rows


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``quarantine.csv``; -1 and empty stand for not known."""

    source: str
    row: int
    line: int
    pointer: str
    byte_offset: int
    record_id: str
    sensor_id: str
    data_time: str
    code: str
    disposition: str
    detail: str
    excerpt: str

    def as_row(self) -> dict[str, Any]:
        """The columns of ``quarantine.csv``; numbers that are not known are None."""
        return {
            "source": self.source,
            "row": _known(self.row),
            "line": _known(self.line),
            "pointer": self.pointer,
            "byte_offset": _known(self.byte_offset),
            "record_id": self.record_id,
            "sensor_id": self.sensor_id,
            "data_time": self.data_time,
            "code": self.code,
            "reason": REASONS.get(self.code, "unknown"),
            "disposition": self.disposition,
            "detail": self.detail,
            "excerpt": self.excerpt,
        }


def _known(number: int) -> int | None:
    return number if number >= 0 else None


@dataclass
class FileCount:
    """What became of the items of one file."""

    read: int = 0
    accepted: int = 0
    quarantined: int = 0
    invalid: int = 0
    by_code: Counter[str] = field(default_factory=Counter)  # quarantined ones
    others: Counter[str] = field(default_factory=Counter)  # findings that quarantine nothing


class Accounting:
    """Counts and findings of one ingest; findings of the reading stage wait on disk, so that memory stays bounded."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, FileCount] = {}
        self._folder = folder  # what an error of the file without a name is told of
        with disk_errors(folder):
            self._early: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (it lives as long as the books)
        self._late: list[tuple[tuple[int, int], Finding]] = []
        self._order: dict[str, int] = {}

    def open_file(self, source: str) -> FileCount:
        """The counts of a file; files are opened in the order of their findings."""
        self._order.setdefault(source, len(self._order))
        return self.files.setdefault(source, FileCount())

    def reject(self, source: str, item: Rejected) -> None:
        """An item that the reader refused: read and quarantined."""
        count = self.open_file(source)
        count.read += 1
        count.quarantined += 1
        count.by_code[item.code] += 1
        finding = Finding(
            source,
            item.row,
            item.line,
            item.pointer,
            item.offset,
            "",
            item.sensor,
            item.time,
            item.code,
            QUARANTINED,
            item.detail,
            item.excerpt,
        )
        with disk_errors(self._folder):
            self._early.seek(0, 2)
            self._early.write(json.dumps(astuple(finding)).encode() + b"\n")

    def decide(self, finding: Finding) -> None:
        """A finding about a record that the reader gave: quarantined now, or accepted with a remark."""
        count = self.files[finding.source]
        if finding.disposition == QUARANTINED:
            count.read += 1
            count.quarantined += 1
            count.by_code[finding.code] += 1
        else:
            count.others[finding.code] += 1
        self._late.append((self._key(finding), finding))

    def accept(self, source: str, *, invalid: bool) -> None:
        """A record that stays."""
        count = self.files[source]
        count.read += 1
        count.accepted += 1
        count.invalid += invalid

    def _key(self, finding: Finding) -> tuple[int, int]:
        return self._order[finding.source], finding.row if finding.row >= 0 else _LAST

    @property
    def total(self) -> FileCount:
        """The sums over all files."""
        found = FileCount()
        for count in self.files.values():
            found.read += count.read
            found.accepted += count.accepted
            found.quarantined += count.quarantined
            found.invalid += count.invalid
            found.by_code += count.by_code
            found.others += count.others
        return found

    @property
    def by_code(self) -> dict[str, int]:
        """Quarantined items by reason code; the values add up to ``total.quarantined``."""
        return dict(sorted(self.total.by_code.items()))

    @property
    def share(self) -> float:
        """Share of the items read that were quarantined, for ``--max-quarantine``."""
        total = self.total
        return total.quarantined / total.read if total.read else 0.0

    def check(self) -> None:
        """AssertionError unless read = accepted + quarantined in every file and the findings match the counts."""
        for source, count in self.files.items():
            if count.read != count.accepted + count.quarantined or count.quarantined != count.by_code.total():
                raise AssertionError(f"{source}: {count}")
        listed = Counter((row["source"], row["disposition"] == QUARANTINED) for row in self.rows())
        for source, count in self.files.items():
            if listed[source, True] != count.quarantined or listed[source, False] != count.others.total():
                raise AssertionError(f"{source}: {count.quarantined} quarantined, {listed[source, True]} listed")

    def findings(self) -> Iterator[Finding]:
        """Every finding by file and row; a finding about a whole file comes last."""
        with disk_errors(self._folder):
            self._early.seek(0)  # writes what waits in memory
        early = (Finding(*json.loads(line)) for line in self._early)
        late = sorted(self._late, key=lambda pair: pair[0])
        keyed = ((self._key(finding), finding) for finding in early)
        return (finding for _, finding in heapq.merge(keyed, late, key=lambda pair: pair[0]))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every finding as a row of ``quarantine.csv``."""
        return (finding.as_row() for finding in self.findings())

    def summary(self) -> dict[str, Any]:
        """``records`` of ``summary.json``; ``by_code`` there counts every finding, also those that quarantine nothing."""
        total = self.total
        return {
            "read": total.read,
            "accepted": total.accepted,
            "quarantined": total.quarantined,
            "invalid": total.invalid,
            "by_code": dict(sorted((total.by_code + total.others).items())),
            "by_file": [
                {"source": source, "read": c.read, "accepted": c.accepted, "quarantined": c.quarantined}
                for source, c in self.files.items()
            ],
        }
