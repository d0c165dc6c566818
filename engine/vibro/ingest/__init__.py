"""Records in, nothing lost: files are found, read, checked, accounted for, and laid on disk as one batch."""

from __future__ import annotations

from vibro.ingest.accounting import REASONS, Accounting, FileCount, Finding
from vibro.ingest.files import find_files
from vibro.ingest.nothing import NothingAccepted
from vibro.ingest.options import IngestOptions
from vibro.ingest.reader import Ingested, ingest
from vibro.ingest.storage import open_batch, save_batch
from vibro.ingest.units import UNITS

__all__ = [
    "REASONS",
    "UNITS",
    "Accounting",
    "FileCount",
    "Finding",
    "IngestOptions",
    "Ingested",
    "NothingAccepted",
    "find_files",
    "ingest",
    "open_batch",
    "save_batch",
]
