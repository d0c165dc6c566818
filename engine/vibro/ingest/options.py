"""What a command says about the data it reads."""

from __future__ import annotations

from dataclasses import dataclass

UNITS = ("g", "m/s2", "mm/s", "um", "V", "A", "unknown")


@dataclass(frozen=True)
class IngestOptions:
    """``fs`` in Hz, ``unit`` one of UNITS, ``length`` in samples, ``mat_key`` the variable of a ``.mat`` file.

    ``strict_quality`` quarantines Q014-Q016; without ``need_fs`` an unknown sampling rate is no error but 0;
    ``prefer_fs``, ``prefer_unit``, ``prefer_length`` are those of a model, taken where the data state none.
    """

    fs: float | None = None
    unit: str | None = None
    length: int | None = None
    strict_quality: bool = False
    mat_key: str | None = None
    need_fs: bool = True
    prefer_fs: float | None = None
    prefer_unit: str | None = None
    prefer_length: int | None = None
