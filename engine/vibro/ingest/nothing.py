"""The error for an input without a single accepted record: what was found, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vibro.data import Rejected
from vibro.errors import DataError
from vibro.ingest.accounting import REASONS, Accounting
from vibro.ingest.files import UNTAKEN, Listing
from vibro.ingest.options import IngestOptions
from vibro.ingest.preview import unread
from vibro.ingest.ways import way_out
from vibro.words import counted


class NothingAccepted(DataError):
    """No record was accepted; ``accounting`` says what became of those that were read, the rest is as in ``Ingested``."""

    def __init__(
        self,
        message: str,
        accounting: Accounting,
        *,
        hint: str | None = None,
        preview: Sequence[dict[str, Any]] = (),
        ignored: Sequence[tuple[str, str]] = (),
        window: int = 0,
    ) -> None:
        super().__init__(message, hint=hint)
        self.accounting = accounting
        self.preview = list(preview)
        self.ignored = list(ignored)
        self.window = window


def nothing_accepted(
    listing: Listing, books: Accounting, preview: Sequence[dict[str, Any]], window: int, options: IngestOptions
) -> NothingAccepted:
    """The error for an input without a single accepted record: what was found, and what to do."""

    def error(message: str, hint: str | None = None) -> NothingAccepted:
        return NothingAccepted(message, books, hint=hint, preview=preview, ignored=listing.ignored, window=window)

    total = books.total
    if not listing.files and not listing.problems:
        if not listing.ignored:
            return error(f"nothing to read under {listing.root}: no file")
        foreign = [item for item in listing.ignored if item[1] == UNTAKEN] or listing.ignored
        found = f"{counted(len(listing.ignored), 'file')} that no reader takes: {unread(foreign)}"
        return error(f"nothing to read under {listing.root}: {found}{_why(listing, foreign)}", _other_format(listing))
    if not total.read:
        return error(f"no record in {', '.join(list(books.files)[:3])}")
    first = next(books.findings())
    if set(books.by_code) == {"Q020"}:
        more = f" (and {total.read - 1} more)" if total.read > 1 else ""
        hint = _other_format(listing) if first.detail.startswith("no reader") else None
        return error(f"nothing can be read: {first.source}: {first.detail}{more}", hint)
    place = f"{first.source}" + (
        f" line {first.line}" if first.line > 0 else f" row {first.row}" if first.row >= 0 else ""
    )
    reasons = ", ".join(f"{code} {REASONS[code]} x {n}" for code, n in books.by_code.items())
    most = max(books.by_code, key=lambda code: books.by_code[code])
    hint = way_out(most, window) or None
    if most == "Q013" and options.fs:
        hint = "leave out --fs: the data say their sampling rate themselves"
    elif most == "Q008" and options.length:
        hint = f"leave out --length, or cut the recordings with --window {options.length}"
    return error(f"no record was accepted of {total.read} read: {reasons}; the first: {place}: {first.detail}", hint)


def _other_format(listing: Listing) -> str:
    known = sorted({ending for reader in listing.readers for ending in reader.extensions})
    return f"export as one of {', '.join(known)}, or write a reader: vibro plugins new my_format --kind reader"


def _why(listing: Listing, foreign: Sequence[tuple[str, str]]) -> str:
    """What the reader of its ending says of the first file that has one, as it says of a file that is named."""
    for source, _ in foreign:
        reader = next((r for r in listing.readers if source.lower().endswith(r.extensions)), None)
        if reader is not None:
            try:
                item = next(iter(reader.read(listing.root / source)), None)
            except Exception:  # what is wrong here is told where the file is named
                return ""
            return f"; {source}: {item.detail}" if isinstance(item, Rejected) else ""
    return ""
