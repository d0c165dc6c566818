"""The elements of a MATLAB 5 file: whether they are of types that there are, and large ones read part by part.

SciPy's parser ends the process over an element of another type, and reads every variable as a whole.

A file is a header of 128 bytes and elements, each a tag of type and size with its data, filled up to 8 bytes; a matrix holds
elements in turn, and a compressed element holds one matrix ("MAT-File Format", The MathWorks, R2022b, 1-6 to 1-24).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MATRIX, COMPRESSED = 14, 15
NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}  # integers, floats, text
HOLDERS = {1, 2, 3, 16, 17}  # classes of matrices that hold matrices: cell, struct, object, function, opaque
CLASSES = range(1, 18)
DEEPEST = 32


def check(content: bytes, most: int) -> None:
    """ValueError for an element of no known type or of an impossible size; compressed ones may unpack to ``most`` bytes."""
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:  # of version 4, which has another layout
        return
    for kind, data in _elements(content[128:], order):
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            inner = list(_elements(unpacker.decompress(data, most), order))
            if unpacker.unconsumed_tail:
                raise ValueError("a compressed variable is too large")
        else:
            inner = [(kind, data)]
        for found, matrix in inner:
            if found != MATRIX:
                raise ValueError(f"an element of type {found} where a variable should be")
            _check_matrix(matrix, order, 0)


def _check_matrix(data: bytes, order: str, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    if not data:  # an empty cell
        return
    inner = list(_elements(data, order))
    kind, flags = inner[0]
    if kind != 6 or len(flags) != 8:
        raise ValueError("a variable without its flags")
    cls = struct.unpack(order + "I", flags[:4])[0] & 0xFF
    if cls not in CLASSES:
        raise ValueError(f"a variable of class {cls}")
    for number, (kind, content) in enumerate(inner[1:]):
        if kind == MATRIX and cls in HOLDERS and number:
            _check_matrix(content, order, depth + 1)
        elif kind not in NUMBERS:
            raise ValueError(f"an element of type {kind} inside a variable")


def _elements(data: bytes, order: str) -> list[tuple[int, bytes]]:
    found, place = [], 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, place)
        start = place + 8
        if kind >> 16:  # a small element: type, size and up to four bytes of data in one tag
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
            place += 8
        else:
            place = start + size + (0 if kind == COMPRESSED else -size % 8)
        if start + size > len(data):
            raise ValueError("an element is longer than the file")
        found.append((kind, data[start : start + size]))
    return found


_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC = range(6, 16)  # classes of matrices of numbers, double to uint64
_COMPLEX = 1 << 11
_PART = 1 << 20  # bytes read or unpacked at a time
Read = Callable[[int], bytes]


def split(path: Path, least: int, most: int) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """A file without its variables of ``least`` bytes or more that are plain numbers, and these, read part by part.

    They come as float32; one whose first values rise may be a time axis and stays float64. ValueError for a variable of more
    than ``most`` bytes or one that ends early.
    """
    rest, large = [], {}
    with path.open("rb") as stream:
        head = stream.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        rest.append(head)
        while order and len(tag := stream.read(8)) == 8:
            kind, size = struct.unpack(order + "II", tag)
            begin = stream.tell()
            found = None
            if kind == COMPRESSED or (kind == MATRIX and size >= least):
                read = _unpacked(stream, size) if kind == COMPRESSED else stream.read
                found = _large(read, order, kind == COMPRESSED, least, most)
            stream.seek(begin)
            if found is None:
                rest += [tag, stream.read(size)]
            else:
                large[found[0]] = found[1]
            stream.seek(begin + size)
        rest.append(stream.read() if not order else b"")
    return b"".join(rest), large


def _unpacked(stream: BinaryIO, size: int) -> Read:
    """What reads a compressed element of so many bytes."""
    unpacker, left, ready = zlib.decompressobj(), size, bytearray()

    def read(count: int) -> bytes:
        nonlocal left, ready
        while len(ready) < count and not unpacker.eof:
            data = unpacker.unconsumed_tail or stream.read(min(_PART, left))
            if not unpacker.unconsumed_tail:
                left -= len(data)
            more = unpacker.decompress(data, _PART)
            if not data and not more:
                break
            ready += more
        found, ready = bytes(ready[:count]), ready[count:]
        return found

    return read


def _large(read: Read, order: str, tagged: bool, least: int, most: int) -> tuple[str, NDArray[Any]] | None:
    """Name and values of a matrix of numbers that takes ``least`` bytes or more; None for anything else."""
    if tagged and struct.unpack(order + "II", _exactly(read, 8))[0] != MATRIX:
        return None
    flags = struct.unpack(order + "I", _part(read, order)[1][:4])[0]
    if flags & 0xFF not in _NUMERIC or flags & _COMPLEX:
        return None
    dims = _part(read, order)[1]
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    name = _part(read, order)[1].decode("ascii", "replace")
    kind, size = struct.unpack(order + "II", _exactly(read, 8))
    count = math.prod(shape)
    if kind not in _STORED or size < least:
        return None
    if size > most or count * int(_STORED[kind][1]) != size:
        raise ValueError(f"variable {name} has an impossible size")
    stored, place, values = np.dtype(order + _STORED[kind]), 0, np.empty(0)
    while place < count:
        part = np.frombuffer(_exactly(read, min(_PART, (count - place) * stored.itemsize)), stored)
        if not place:
            values = np.empty(count, np.float64 if (np.diff(part) > 0).all() else np.float32)
        with np.errstate(over="ignore"):
            values[place : place + len(part)] = part
        place += len(part)
    return name, values.reshape(shape, order="F")


def _part(read: Read, order: str) -> tuple[int, bytes]:
    """Type and data of a short element."""
    tag = _exactly(read, 8)
    kind, size = struct.unpack(order + "II", tag)
    if kind >> 16:
        return kind & 0xFFFF, tag[4 : 4 + min(kind >> 16, 4)]
    if size > _PART:
        raise ValueError("the head of a variable is too long")
    return kind, _exactly(read, size + -size % 8)[:size]


def _exactly(read: Read, count: int) -> bytes:
    """So many bytes; ValueError where there are fewer."""
    if len(found := read(count)) != count:
        raise ValueError("the file ends inside a variable")
    return found
