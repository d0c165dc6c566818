"""Checks for readers: every item becomes a record or a rejection, whatever the file holds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import Record, Rejected
from vibro.testing.assertions import fail, require
from vibro.testing.case import Case
from vibro.testing.files import Example, examples

MOST = 10_000  # items that a reader may give for a broken file of a few bytes


class ReaderCase(Case):
    """A reader with small files of its formats.

    Files of the usual formats are made here; a reader of another one has a class method ``examples()`` that yields
    ``(file name, content, records, rejected)``.
    """

    @property
    def learns(self) -> bool:
        """A reader carries no state."""
        return False

    def samples(self) -> list[Example]:
        """Small files that the reader should be able to read."""
        own = getattr(self.cls, "examples", None)
        if own is not None:
            return [Example(*row) for row in own()]
        return [example for extension in self.cls.extensions for example in examples(extension)]

    def answer(self, component: Any) -> NDArray[Any]:
        """All samples of all files, and how many items each one held."""
        parts = []
        for example in self.samples():
            items = self.read(component, example.name, example.content)
            signals = [item.signal.ravel() for item in items if isinstance(item, Record)]
            parts += [np.array([len(items), len(signals)], np.float32), *signals]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def read(self, component: Any, name: str, content: bytes) -> list[Any]:
        """Every item of a file with this name and content."""
        self.shown = f"file {name} of {len(content)} bytes: {content[:60]!r}"
        with tempfile.TemporaryDirectory(prefix="vibro-kit-") as folder:
            path = Path(folder, name)
            path.write_bytes(content)
            items = []
            for item in component.read(path):
                items.append(item)
                require(len(items) <= MOST, f"{len(content)} bytes gave more than {MOST} items")
            return items

    @property
    def checks(self) -> tuple[Callable[..., None], ...]:
        """The checks that apply to a reader."""
        return (check_extensions, check_accepts, check_items, check_records, check_rejections, check_broken_files)


def check_extensions(case: ReaderCase) -> None:
    """``extensions`` are lower-case endings with a dot."""
    endings = case.cls.extensions
    require(isinstance(endings, tuple) and endings, "extensions is no tuple of endings such as '.csv'")
    wrong = [e for e in endings if not (e.startswith(".") and e == e.lower())]
    require(not wrong, f"extensions {wrong}; write them like '.csv'")


def check_accepts(case: ReaderCase) -> None:
    """The reader accepts its own files and not those of another format."""
    for example in case.samples():
        require(case.cls.accepts(Path(example.name), example.content[:512]), f"{example.name} is not accepted")
    require(not case.cls.accepts(Path("notes.docx"), b"PK\x03\x04"), "notes.docx is accepted")


def check_items(case: ReaderCase) -> None:
    """Each item is a Record or a Rejected, and none is lost."""
    for example in case.samples():
        items = case.read(case.make(), example.name, example.content)
        wrong = [item for item in items if not isinstance(item, Record | Rejected)]
        require(not wrong, f"{example.name} gave {type(wrong[0]).__name__ if wrong else ''}")
        got = sum(isinstance(item, Record) for item in items)
        bad = [item for item in items if isinstance(item, Rejected)]
        require(
            (got, len(bad)) == (example.records, example.rejected),
            f"{example.name} holds {example.records} good and {example.rejected} bad items; "
            f"{got} were read, {len(bad)} rejected: {[f'{b.code} {b.detail}' for b in bad][:3]}",
        )


def check_records(case: ReaderCase) -> None:
    """Records are finite float32 (channels, samples) with a sensor; rows count up from 0."""
    for example in case.samples():
        records = [i for i in case.read(case.make(), example.name, example.content) if isinstance(i, Record)]
        for record in records:
            signal = record.signal
            require(
                signal.dtype == np.float32 and signal.ndim == 2, f"signal is {signal.dtype} of shape {signal.shape}"
            )
            require(np.isfinite(signal).all(), "a signal holds values that are not finite")
            require(
                isinstance(record.sensor, str) and np.isfinite(record.fs), f"sensor {record.sensor!r}, fs {record.fs}"
            )
        rows = [record.row for record in records]
        require(rows == sorted(set(rows)), f"rows are {rows}")


def check_rejections(case: ReaderCase) -> None:
    """A rejection has a code of the form Qnnn and says what is wrong."""
    for example in case.samples():
        for item in case.read(case.make(), example.name, example.content):
            if isinstance(item, Rejected):
                require(len(item.code) == 4 and item.code[0] == "Q" and item.code[1:].isdigit(), f"code {item.code!r}")
                require(item.detail, f"{item.code} without detail")


def check_broken_files(case: ReaderCase) -> None:
    """Empty, random and truncated files end in rejections, not in errors."""
    noise = np.random.default_rng(0).integers(0, 256, 4096).astype(np.uint8).tobytes()
    for ending in case.cls.extensions:
        files = {"empty": b"", "zeros": bytes(512), "noise": noise, "newlines": b"\n\n\n", "brackets": b"[" * 2000}
        for example in case.samples():
            if example.name.endswith(ending):
                files["half"] = example.content[: len(example.content) // 2]
        for name, content in files.items():
            try:
                items = case.read(case.make(), f"{name}{ending}", content)
            except AssertionError:
                raise
            except Exception as error:
                fail(f"{name}{ending}: {type(error).__name__}: {error}; yield a Rejected with row -1 instead")
            for item in items:
                require(isinstance(item, Record | Rejected), f"{name}{ending} gave {type(item).__name__}")
            if name in ("noise", "zeros"):
                require(items and isinstance(items[-1], Rejected), f"{name}{ending} was passed over in silence")
