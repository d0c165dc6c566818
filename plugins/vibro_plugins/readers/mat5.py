"""Whether the elements of a MATLAB 5 file are of types that there are: SciPy's parser ends the process where they are not.

A file is a header of 128 bytes and elements, each a tag of type and size with its data, filled up to 8 bytes; a matrix holds
elements in turn, and a compressed element holds one matrix ("MAT-File Format", The MathWorks, R2022b, 1-6 to 1-24).
"""

from __future__ import annotations

import struct
import zlib

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
