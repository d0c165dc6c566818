"""Records in, nothing lost: files are found, read, checked, accounted for, and laid on disk as one batch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
_MODULES = {
    **dict.fromkeys(("REASONS", "Accounting", "FileCount", "Finding"), "accounting"),
    **dict.fromkeys(("Ingested", "ingest"), "reader"),
    **dict.fromkeys(("open_batch", "save_batch"), "storage"),
    **{"find_files": "files", "NothingAccepted": "nothing", "IngestOptions": "options", "UNITS": "units"},
}


def __getattr__(name: str) -> Any:
    """The names above on first use: a process that only reads files starts without the rest."""
    if name in _MODULES:
        return getattr(import_module(f"vibro.ingest.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
