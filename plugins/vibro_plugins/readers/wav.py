"""Reader ``wav``: one record a channel of a WAVE file, sampling rate from its header."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Record, Rejected
from vibro_plugins.readers.text.choice import ChannelParams, chosen
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform.clock import Clock
from vibro_plugins.readers.waveform.reader import WaveReader
from vibro_plugins.readers.waveform.waves import Wave, records

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_BLOCK = 1 << 18  # frames read at a time
_TYPES = {
    (_PCM, 8): "u1",
    (_PCM, 16): "<i2",
    (_PCM, 24): "u1",
    (_PCM, 32): "<i4",
    (_FLOAT, 32): "<f4",
    (_FLOAT, 64): "<f8",
}


@dataclass(frozen=True)
class _Format:
    """What the ``fmt`` chunk says."""

    tag: int
    channels: int
    rate: int
    bits: int


class Wav(WaveReader):
    """PCM of 8, 16, 24 or 32 bits, as a share of full scale (-1 to 1), or float of 32 or 64 bits as it is.

    Channels are called 1, 2, ...; that of a file with one has no name. A file does not say when it was recorded. Where the
    header does not know the length, as in files that were piped or whose recorder lost power, samples go to the file's end.
    """

    name = "wav"
    summary = "one record a channel of a WAVE file"
    extensions = (".wav",)
    Params = ChannelParams

    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        with path.open("rb") as stream:
            format, start, size = _chunks(stream)
        have = path.stat().st_size - start
        if _is_open(size, have):
            size = have
            self._notes.append("the header does not know the length: the samples were read to the end of the file")
        if have < size:
            raise BadField(
                "Q001", "", f"the samples end early, at {have} of {size} bytes; copy or export the file again"
            )
        names = [str(i + 1) if format.channels > 1 else "" for i in range(format.channels)]
        for place in chosen([(name,) for name in names], self.params.channels, "channel"):
            signal = _channel(path, format, start, size, place)
            yield from records(
                [(place, Wave(names[place], signal, clock=Clock(float(format.rate))))], {}, gaps=self.params.gaps
            )


def _is_open(size: int, have: int) -> bool:
    """Whether a length in a header stands for one that was not known when it was written: 0, or all bits and nearly so."""
    return have > 0 and (size == 0 or (size > have and size >= 0x7FFFF000))


def _chunks(stream: BinaryIO) -> tuple[_Format, int, int]:
    """The format, and where the samples stand."""
    head = stream.read(12)
    if head[:4] == b"RIFX":
        raise BadField("Q001", "", "RIFX files (numbers with the high byte first) are not read; save it as RIFF WAVE")
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        raise BadField("Q001", "", "no WAVE file")
    format, large = None, 0
    while len(head := stream.read(8)) == 8:
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data":
            if format is None:
                raise BadField("Q001", "", "samples without a format")
            return format, stream.tell(), large if large and size == 0xFFFFFFFF else size
        start = stream.tell()
        if name == b"ds64":  # lengths beyond 32 bits (EBU Tech 3306)
            large = int.from_bytes(stream.read(16)[8:], "little")
        if name == b"fmt ":
            format = _format(stream.read(min(size, 40)))
        stream.seek(start + size + size % 2)
    raise BadField("Q001", "", "the file ends before its samples")


def _format(chunk: bytes) -> _Format:
    if len(chunk) < 16:
        raise BadField("Q001", "", "the format is cut short")
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    if (tag, bits) not in _TYPES:
        raise BadField("Q001", "", f"samples of format {tag} with {bits} bits are not read; save it as PCM or float")
    if not channels or not rate or block != channels * bits // 8:
        raise BadField("Q001", "", f"a format that cannot be: {channels} channels, {rate} Hz, {block} bytes a frame")
    return _Format(tag, channels, rate, bits)


def _channel(path: Path, format: _Format, start: int, size: int, place: int) -> NDArray[np.float32]:
    """The samples of a channel, a block of the file at a time."""
    kind, width = _TYPES[format.tag, format.bits], format.channels * format.bits // 8
    signal = np.empty(size // width, np.float32)
    shape = (-1, format.channels, 3) if format.bits == 24 else (-1, format.channels)
    with path.open("rb") as stream:
        stream.seek(start)
        for at in range(0, len(signal), _BLOCK):
            count = min(_BLOCK, len(signal) - at)
            block = np.frombuffer(stream.read(count * width), kind).reshape(shape)
            signal[at : at + count] = _scaled(block[:, place], format)
    return signal


def _scaled(column: NDArray[np.generic], format: _Format) -> NDArray[np.float32]:
    """One channel as float32, integers as a share of full scale."""
    if format.tag == _FLOAT:
        with np.errstate(over="ignore"):
            return np.asarray(column, dtype=np.float32)
    if format.bits == 8:
        return (np.asarray(column, np.float32) - 128) / 128
    if format.bits == 24:
        padded = np.zeros((len(column), 4), np.uint8)
        padded[:, 1:] = column
        column = padded.view("<i4")[:, 0]
    bits = 32 if format.bits == 24 else format.bits
    return (np.asarray(column, np.float64) / 2.0 ** (bits - 1)).astype(np.float32)


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Wav)
