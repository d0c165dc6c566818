"""Files as programs write them are read to the exact samples, rates, times and channels; broken ones say what is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.api import Context, Record, Rejected
from vibro.cli.session import Session
from vibro.ingest.files import find_files
from vibro_plugins.readers.table import Table
from vibro_plugins.readers.text.fast import Numbers

from . import broken, formats, loggers, tables

DIALECTS = [*tables.dialects(), *formats.dialects(), *loggers.dialects()]
BROKEN = list(broken.files())
TEXTS = [
    case for case in [*tables.dialects(), *loggers.dialects(), *BROKEN] if case.file.endswith((".csv", ".txt", ".asc"))
]


@pytest.fixture(scope="module")
def readers():
    """Every reader that ships with vibro."""
    return Session().host().components("reader")


def read(readers, path, settings):
    """The one reader that takes the file, and its items."""
    made = [cls.make({}, Context()) for cls in readers]
    (found,) = find_files([path], made).files
    known = type(found.reader).Params.__dataclass_fields__
    reader = type(found.reader).make({name: value for name, value in settings.items() if name in known}, Context())
    return reader, list(reader.read(path))


def test_there_are_enough():
    assert len(DIALECTS) >= 60 and len(BROKEN) >= 30
    names = [case.name for case in [*DIALECTS, *BROKEN]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", DIALECTS, ids=[case.name for case in DIALECTS])
def test_dialect(case, readers, tmp_path):
    path = tmp_path / case.file
    case.make(path)
    assert any(cls.accepts(path, path.read_bytes()[:512]) for cls in readers), "a folder would be searched in vain"
    reader, items = read(readers, path, case.settings)
    assert [item.channel if isinstance(item, Record) else item for item in items] == list(case.channels)
    for item, samples in zip(items, case.channels.values(), strict=True):
        wanted = np.atleast_2d(np.asarray(samples)).astype(np.float32)
        assert item.signal.dtype == np.float32 and np.array_equal(item.signal, wanted)
        assert item.fs == case.fs
        assert np.array_equal(item.time, case.time, equal_nan=True)
        assert item.unit == case.unit and item.recording == ""
        assert item.sensor == case.sensor
        assert dict(item.covariates) == dict(case.covariates)
    rows = [item.row for item in items]
    assert rows == sorted(set(rows))
    unsaid = ["the time names no zone" for item in items if not item.zoned]
    unsaid += ["a time of day without a day" for item in items if item.of_day >= 0]
    notes = " ".join([*reader.notes(), *unsaid])
    for word in case.notes:
        assert word in notes
    assert case.notes or not notes


def plain(item):
    """An item without what does not equal itself: samples, and a time that is not given."""
    return replace(item, signal=None, time=str(item.time)) if isinstance(item, Record) else item


@pytest.mark.parametrize(
    "case",
    [c for c in [*tables.dialects(), *BROKEN] if c.file.endswith((".csv", ".txt", ".asc"))],
    ids=lambda c: c.name,
)
def test_the_compiled_parser_reads_the_same(case, tmp_path):
    path = tmp_path / case.file
    case.make(path)
    reader, quick = (Table.make(case.settings, Context()) for _ in range(2))
    quick._numbers = Numbers(worth=0)
    for one, other in zip(reader.read(path), quick.read(path), strict=True):
        assert plain(one) == plain(other)
        assert isinstance(one, Rejected) or np.array_equal(one.signal, other.signal)
    assert reader.notes() == quick.notes()


@pytest.mark.parametrize("case", BROKEN, ids=[case.name for case in BROKEN])
def test_broken(case, readers, tmp_path):
    path = tmp_path / case.file
    case.make(path)
    if path.suffix == ".gz":
        assert any(cls.accepts(path, path.read_bytes()[:512]) for cls in readers), "it would be passed over in silence"
    _, items = read(readers, path, case.settings)
    refused = [item for item in items if isinstance(item, Rejected)]
    assert len(items) - len(refused) == case.good
    assert {item.code for item in refused} == {case.code}
    said = f"{refused[0].detail} line {refused[0].line} {refused[0].pointer}"
    for word in case.words:
        assert word in said
