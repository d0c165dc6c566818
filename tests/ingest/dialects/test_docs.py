"""The examples of docs/formats.md are read as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from vibro.api import Context, Record
from vibro.cli.session import Session
from vibro.ingest.files import find_files

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
EXAMPLE = re.compile(
    r"^File `([^`]+)`(?:(?!\n\n).)*\n\n```(text|python)\n(.*?)```\n\n```result\n(.*?)```", re.MULTILINE | re.DOTALL
)
EXAMPLES = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def readers():
    return [cls.make({}, Context()) for cls in Session().host().components("reader")]


def shown(record: Record) -> str:
    """A record in one line."""
    name = record.sensor or record.channel
    name += f", channel {record.channel}" if record.sensor and record.channel else ""
    channels, samples = record.signal.shape
    parts = [f"{channels} x {samples} samples" if channels > 1 else f"{samples} samples"]
    parts += [f"{record.fs:g} Hz"] * bool(record.fs) + [record.unit] * bool(record.unit)
    parts += [] if np.isnat(record.time) else [str(record.time.astype("datetime64[s]"))]
    return f"{name}: {', '.join([*parts, *(f'{key} {value:g}' for key, value in record.covariates.items())])}"


def test_every_result_has_its_file():
    page = PAGE.read_text(encoding="utf-8")
    assert len(EXAMPLES) == page.count("```result") == page.count("\nFile `") >= 14


@pytest.mark.parametrize(("file", "kind", "content", "result"), EXAMPLES, ids=[name for name, *_ in EXAMPLES])
def test_example(file, kind, content, result, readers, tmp_path):
    path = tmp_path / file
    if kind == "text":
        path.write_text(content, encoding="utf-8")
    else:
        exec(compile(content, file, "exec"), {"path": path})
    (found,) = find_files([tmp_path], readers).files
    assert [
        shown(item) if isinstance(item, Record) else item for item in found.reader.read(path)
    ] == result.splitlines()
