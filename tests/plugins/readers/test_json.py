"""json: documents with records under any key, broken ones located."""

from __future__ import annotations

import json

import pytest

from vibro_plugins.readers.json import JsonDocument
from vibro_plugins.readers.text import strict_json

from .common import STAMP, read


def test_json_depth_is_32():
    assert strict_json.parse("[" * 32 + "]" * 32) is not None
    with pytest.raises(strict_json.BadJson):
        strict_json.parse("[" * 33 + "]" * 33)


def test_documents_have_pointers(tmp_path):
    good = {"data_time": STAMP, "signal_value": [1, 2], "sensor_id": "s"}
    document = {"a/b": [good, {**good, "sensor_id": None}], "c~": {"d": [{**good, "signal_value": "1,x"}]}}
    (tmp_path / "a.json").write_text(json.dumps(document))
    items = read(JsonDocument, tmp_path / "a.json")
    assert [item.row for item in items] == [0, 1, 2]
    assert items[1].pointer == "/a~1b/1/sensor_id" and items[2].pointer == "/c~0/d/0/signal_value/1"
    assert "sensor_id" in items[1].excerpt


def test_a_broken_document_says_where(tmp_path):
    (tmp_path / "a.json").write_text('[\n{"sensor_id": "变"},\n{"x": }]', encoding="utf-8")
    (item,) = read(JsonDocument, tmp_path / "a.json")
    content = (tmp_path / "a.json").read_bytes()
    assert item.line == 3 and content[item.offset :].startswith(b"}]") and item.row == -1
