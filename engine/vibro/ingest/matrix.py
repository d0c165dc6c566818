"""Samples on disk: appended as they come, cut down to the accepted records, opened as one memory-mapped array."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vibro.io.files import disk_errors

HEADER = 128  # bytes; the header of a .npy file of three dimensions fits
_MOVE = 8 << 20  # bytes moved at a time


class SampleFile:
    """A growing ``.npy`` file of float32 records of any shape, until ``finish`` keeps those of one shape."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            path.unlink(missing_ok=True)  # a batch that maps an older file there keeps it
            self._file = path.open("w+b", buffering=1 << 20)
            self._file.write(b"\0" * HEADER)
        self._end = 0  # samples written

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError) if error is not None else disk_errors(self.path):  # the first error is the one to report
            self._file.close()

    def append(self, signal: NDArray[np.float32]) -> int:
        """Writes a record; returns its place, counted in samples."""
        start = self._end
        try:
            self._file.write(np.ascontiguousarray(signal, dtype="<f4").data)
        except OSError:
            with disk_errors(self.path, signal.nbytes):
                raise
        self._end += signal.size
        return start

    def join(self, path: Path) -> int:
        """Appends the samples of another such file that is not finished; returns their place."""
        start = self._end
        with path.open("rb") as other:
            other.seek(HEADER)
            while block := other.read(_MOVE):
                self.append(np.frombuffer(block, "<f4"))
        return start

    @property
    def end(self) -> int:
        """The place behind the last sample."""
        return self._end

    def since(self, start: int) -> NDArray[np.float32]:
        """All samples from a place on, as a memory map (or an empty array)."""
        self._flush()
        count = self._end - start
        return np.memmap(self.path, "<f4", "r", HEADER + 4 * start, (count,)) if count else np.zeros(0, np.float32)

    def _flush(self) -> None:
        with disk_errors(self.path):
            self._file.flush()

    def look(self, start: int, count: int) -> NDArray[np.float32]:
        """``count`` samples from a place on."""
        self._flush()
        self._file.seek(HEADER + 4 * start)
        return np.frombuffer(self._file.read(4 * count), "<f4")

    def put(self, start: int, block: NDArray[np.float32]) -> None:
        """Other samples at a place that holds some already."""
        with disk_errors(self.path):
            self._file.seek(HEADER + 4 * start)
            self._file.write(np.ascontiguousarray(block, dtype="<f4").data)
            self._file.seek(0, 2)

    def finish(self, starts: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Keeps the records at these rising places, all of ``shape`` (C, T); the rest is overwritten in place.

        Returns a read-only memory map (n, C, T).
        """
        size = shape[0] * shape[1]
        with disk_errors(self.path):
            self._compact(starts, size)
            self._file.truncate(HEADER + 4 * size * len(starts))
            self._file.seek(0)
            fields = {"descr": "<f4", "fortran_order": False, "shape": (len(starts), *shape)}
            np.lib.format.write_array_header_1_0(self._file, fields)
            if self._file.tell() != HEADER:
                raise AssertionError("the header of a .npy file has another size")
            self._file.close()
        return open_samples(self.path)

    def _compact(self, starts: NDArray[np.int64], size: int) -> None:
        if size == 0 or not len(starts):
            return
        breaks = np.flatnonzero(np.diff(starts) != size) + 1
        target = 0
        for run in np.split(starts, breaks):  # records that lie side by side
            source, left = int(run[0]), size * len(run)
            while left and source != target:
                count = min(left, _MOVE // 4)
                block = self.look(source, count)
                self._file.seek(HEADER + 4 * target)
                self._file.write(block.data)
                source, target, left = source + count, target + count, left - count
            target += left


def open_samples(path: Path) -> NDArray[np.float32]:
    """The samples of a finished file as a read-only memory map; an empty array where there is nothing to map."""
    array: NDArray[np.float32]
    with path.open("rb") as handle:
        np.lib.format.read_magic(handle)
        shape = np.lib.format.read_array_header_1_0(handle)[0]
    if 0 in shape:
        array = np.zeros(shape, np.float32)
        array.flags.writeable = False
        return array
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
