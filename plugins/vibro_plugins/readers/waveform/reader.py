"""The frame of a reader of recordings: what goes wrong becomes one Rejected for the file, what was guessed a note."""

from __future__ import annotations

import gzip
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from vibro.api import Context, Reader, Record, Rejected
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.text.lines import ArchiveLimit, excerpt

EXTRA = 'pip install "vibro[formats]"'


class WaveReader(Reader):
    """A subclass gives the records of a file in ``_records`` and appends sentences to ``self._notes``.

    ``library`` names a package of the extra ``vibro[formats]`` that it needs; without it each file is one Rejected that
    says so. What such a package raises over a damaged file is one Rejected as well.
    """

    library: ClassVar[str] = ""

    def __init__(self, params: Any, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._notes: list[str] = []

    @abstractmethod
    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        """Every record; BadField for what is wrong with the file as a whole."""

    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every record; a file that cannot be read is one Rejected with the reason."""
        self._notes = []
        try:
            if self.library:
                needed(self.library, f"{path.suffix.lower() or path.name} files")
            yield from self._records(path)
        except BadField as error:
            yield Rejected(error.code, error.detail, pointer=f"/{error.field}" if error.field else "")
        except ArchiveLimit as error:
            yield Rejected("Q019", str(error))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            yield Rejected("Q001", f"the gzip data are damaged ({excerpt(str(error))})")
        except Exception as error:  # a damaged file brings up every kind of error inside a library
            if not self.library or isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
                raise
            why = " ".join(str(error).split()) or type(error).__name__
            yield Rejected("Q001", f"{self.library} cannot read the file: {excerpt(why)}")

    def notes(self) -> list[str]:
        """What the last file deserves to be said about it."""
        return list(dict.fromkeys(note for note in self._notes if note))


def needed(library: str, what: str) -> None:
    """BadField (Q020) that names the extra, unless the package is installed."""
    if find_spec(library) is None:
        raise BadField("Q020", "", f"{what} need the package {library}, which is not installed: {EXTRA}")
