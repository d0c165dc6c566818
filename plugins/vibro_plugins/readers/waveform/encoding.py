"""Text of any usual encoding as a stream of UTF-8."""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path
from typing import BinaryIO

from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.text.lines import BOM, foreign, open_stream

HEAD = 1 << 16  # bytes by which an encoding and a layout are found
_HIGH = re.compile(rb"[\x80-\xff]+")
_WIDE = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_BLOCK = 1 << 20


def found(head: bytes) -> tuple[str, str]:
    """The encoding of a text by its first bytes, and what is said about it; empty for bytes that are no text.

    Bytes that are no UTF-8 are GBK where they come in pairs, as its usual characters do (GB 2312), and else Latin-1, in
    which letters with marks and signs such as the degree stand alone. Statistics of a language, as charset-normalizer
    keeps them, need more text than the one line of a header.
    """
    if head[:2] in _WIDE:
        return "utf-16", "the text is UTF-16"
    if head[:3] == BOM:
        return "utf-8-sig", "the text starts with a byte-order mark, which was skipped"
    if b"\0" in head:
        odd, even = head[1:200:2], head[0:200:2]
        for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
            if zeros.count(0) > 0.9 * len(zeros) and not others.count(0):
                return name, "the text is UTF-16 without a byte-order mark"
        return "", ""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        runs = [run for run in _HIGH.findall(head) if run]
        paired = sum(len(run) for run in runs if len(run) % 2 == 0 and min(run) >= 0xA1)
        name = "gb18030" if paired > 0.8 * sum(map(len, runs)) else "latin-1"
        shown = {"gb18030": "GBK", "latin-1": "Latin-1"}[name]
        return name, f"the text is no UTF-8 and was read as {shown}; --encoding names another one"
    return "utf-8", ""


class _Utf8(io.RawIOBase):
    """Bytes of another encoding as UTF-8; BadField (Q001) at bytes that it does not have."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._name = encoding
        self._ready = b""
        self._at = 0
        self._line = 1
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while self._at >= len(self._ready) and not self._ended:
            data = self._stream.read(_BLOCK)
            self._ended = not data
            try:
                text = self._decoder.decode(data, final=self._ended)
            except UnicodeError as error:
                detail = f"the text is no {self._name} ({error}); --encoding names another one"
                raise BadField("Q001", "", detail) from None
            self._ready, self._at = text.encode(), 0
        count = min(len(buffer), len(self._ready) - self._at)
        buffer[:count] = self._ready[self._at : self._at + count]
        self._at += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def open_text(path: Path, said: str | None) -> tuple[io.BufferedReader, str]:
    """The text of a file, unpacked where it ends in ``.gz``, as buffered UTF-8, and a note where its encoding was guessed.

    BadField (Q001) for bytes that are no text; ``said`` is the encoding that the user names.
    """
    stream, head = _opened(path)
    try:
        name, note = (known(said), "") if said else found(head)
        strange = None if name.startswith("utf-16") else foreign(head[:4], packed=_is_packed(path))
        if strange:
            raise BadField(strange.code, "", strange.detail)
        if not name:
            raise BadField("Q001", "", "the bytes are no text")
    except BadField:
        stream.close()
        raise
    if name not in ("utf-8", "utf-8-sig"):
        return io.BufferedReader(_Utf8(stream, name), HEAD), note
    if head.startswith(BOM):
        stream.read(len(BOM))
    return stream, note


def _opened(path: Path) -> tuple[io.BufferedReader, bytes]:
    """The bytes of a file, unpacked, and the first of them, which are still to be read."""
    stream = io.BufferedReader(open_stream(path), HEAD)
    if not _is_packed(path):
        return stream, stream.peek(HEAD)
    with stream:  # an archive gives less at a time than is wanted, so it is opened twice
        head = stream.read(HEAD)
    return io.BufferedReader(open_stream(path), HEAD), head


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def known(name: str) -> str:
    """The codec of an encoding's name; ``gbk`` and ``gb2312`` are read as GB 18030, which holds both. BadField if none."""
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        raise BadField("Q001", "", f"no encoding {name!r}; try utf-8, utf-16, gb18030 or latin-1") from None
    return {"gbk": "gb18030", "gb2312": "gb18030", "utf-8": "utf-8"}.get(codec, codec)
