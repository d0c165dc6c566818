"""Bad inputs by family, made on demand, each with what must become of it; the tests run every one of them.

Most cases put one bad item between good ones, so that a loss of what follows shows up in the count of accepted records.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import socket
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

T = 64
_X = np.random.default_rng(7).standard_normal((64, T)).round(4)


@dataclass(frozen=True)
class Case:
    """``make`` writes into an empty folder and returns the paths for the command; the rest is what must come out.

    ``codes`` counts quarantined items, ``invalid`` accepted ones with bad samples, ``detail`` must stand in a finding.
    """

    family: str
    name: str
    make: Callable[[Path], list[Path]]
    accepted: int
    codes: dict[str, int] = field(default_factory=dict)
    invalid: int = 0
    detail: str = ""
    options: tuple[str, ...] = ()

    @property
    def exit(self) -> int:
        """Exit code of ``vibro data check``."""
        if not self.accepted:
            return 3
        quarantined = sum(self.codes.values())
        return 4 if quarantined > 0.05 * (quarantined + self.accepted) else 0


def stamp(i: int) -> str:
    return f"2024-03-01T{i // 60:02d}:{i % 60:02d}:00.000Z"


def values(i: int) -> list[str]:
    return [f"{v:.4f}" for v in _X[i]]


def record(i: int, **changes: object) -> dict[str, object]:
    fields = {"data_time": stamp(i), "signal_value": ",".join(values(i)), "sensor_id": "s1"}
    return {name: value for name, value in {**fields, **changes}.items() if value is not ...}


def line(i: int, **changes: object) -> bytes:
    return json.dumps(record(i, **changes), ensure_ascii=False).encode()


def with_token(i: int, token: str, place: int = 5) -> str:
    tokens = values(i)
    tokens[place] = token
    return ",".join(tokens)


def _file(name: str, content: bytes) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        (folder / name).write_bytes(content)
        return [folder / name]

    return make


def _lines(*found: bytes, name: str = "data.jsonl", end: bytes = b"\n") -> Callable[[Path], list[Path]]:
    return _file(name, b"".join(part + end for part in found))


def _between(family: str, name: str, bad: bytes, code: str | None, detail: str = "", **more: object) -> Case:
    """One item between two good ones: quarantined with ``code``, or accepted where that is None."""
    make = _lines(line(0), bad, line(2))
    accepted, codes = (3, {}) if code is None else (2, {code: 1})
    return Case(family, name, make, accepted, codes, detail=detail, **more)  # type: ignore[arg-type]


def _raw(i: int, samples: str) -> bytes:
    """A line whose samples are given as JSON text."""
    return f'{{"data_time": "{stamp(i)}", "signal_value": {samples}, "sensor_id": "s1"}}'.encode()


def cases() -> list[Case]:
    """Every case."""
    return [
        *_empty(),
        *_truncated(),
        *_numbers(),
        *_lengths(),
        *_times(),
        *_fields(),
        *_structure(),
        *_documents(),
        *_tables(),
        *_encoding(),
        *_size(),
        *_archives(),
        *_arrays(),
        *_signals(),
        *_rates_and_units(),
        *_duplicates(),
        *_file_system(),
    ]


def _empty() -> list[Case]:
    def nothing(folder: Path) -> list[Path]:
        return [folder]

    return [
        Case("empty", "zero bytes", _file("a.jsonl", b""), 0),
        Case("empty", "newlines", _file("a.jsonl", b"\n\n\r\n\n"), 0),
        Case("empty", "blanks", _file("a.jsonl", b"  \n\t\n"), 0),
        Case("empty", "byte-order mark", _file("a.jsonl", b"\xef\xbb\xbf"), 0),
        Case("empty", "list", _file("a.json", b"[]"), 0),
        Case("empty", "object", _file("a.json", b"{}"), 0, {"Q005": 1}),
        Case("empty", "object of an empty list", _file("a.json", b'{"records": []}'), 0),
        Case("empty", "null", _file("a.json", b"null"), 0, {"Q004": 1}),
        Case("empty", "document of nothing", _file("a.json", b" \n"), 0),
        Case("empty", "folder", nothing, 0),
        Case("empty", "csv header", _file("a.csv", b"sensor_id,data_time,signal_value\n"), 0),
        Case("empty", "csv of nothing", _file("a.csv", b""), 0),
        Case("empty", "npz of nothing", _npz(signals=np.zeros((0, T), np.float32)), 0),
        Case("empty", "zero bytes npz", _file("a.npz", b""), 0, {"Q001": 1}),
        Case("empty", "zero bytes gz", _file("a.jsonl.gz", b""), 0),
        Case("empty", "empty object a line", _lines(line(0), b"{}", line(2)), 2, {"Q005": 1}),
    ]


def _truncated() -> list[Case]:
    whole = line(1)
    places = {
        "in the first key": 4,
        "behind the first key": 12,
        "in the time": 24,
        "in a number": 70,
        "behind a comma": whole.index(b",", 80) + 1,
        "before the closing quote": whole.index(b'", "sensor_id'),
        "in the last key": len(whole) - 12,
        "before the brace": len(whole) - 1,
        "after the brace of the next": 0,
    }
    found = [
        Case("truncation", f"line cut {name}", _lines(line(0), whole[:cut], line(2)), 2, {"Q002": 1})
        for name, cut in places.items()
        if cut
    ]
    last = b"\n".join([line(0), line(1), line(2)])
    chinese = line(1, sensor_id="变压器")
    escape = line(1, note='a"b')
    document = json.dumps([record(0), record(1)]).encode()
    packed = gzip.compress(b"\n".join(line(i) for i in range(40)) + b"\n", mtime=0)
    return [
        *found,
        Case("truncation", "no newline at the end", _file("a.jsonl", last), 3),
        Case("truncation", "file ends inside a line", _file("a.jsonl", last[:-30]), 2, {"Q002": 1}),
        Case(
            "truncation",
            "line ends inside an escape",
            _lines(line(0), escape[: escape.index(b'\\"') + 1], line(2)),
            2,
            {"Q002": 1},
        ),
        Case("truncation", "line ends inside a character", _lines(line(0), chinese[:-4], line(2)), 2, {"Q001": 1}),
        Case("truncation", "two halves on two lines", _lines(line(0), whole[:90], whole[90:], line(2)), 2, {"Q002": 2}),
        Case("truncation", "document", _file("a.json", document[:-20]), 0, {"Q002": 1}),
        Case("truncation", "csv inside quotes", _file("a.csv", _csv(3)[:-40]), 2, {"Q004": 1}),
        Case("truncation", "gz", _file("a.jsonl.gz", packed[: len(packed) // 2]), _whole_lines(packed), {"Q001": 1}),
        Case("truncation", "gz by its last bytes", _file("a.jsonl.gz", packed[:-6]), 40, {"Q001": 1}),
        Case("truncation", "npz", _file("a.npz", _npz_bytes(signals=_X.astype(np.float32))[:-100]), 0, {"Q001": 1}),
    ]


def _whole_lines(packed: bytes) -> int:
    stream = gzip.GzipFile(fileobj=io.BytesIO(packed[: len(packed) // 2]))
    count = 0
    try:
        while stream.readline():
            count += 1
    except EOFError:
        pass
    return count


def _numbers() -> list[Case]:
    bad = {
        "nan": "Q007", "NaN": "Q007", "-nan": "Q007", "inf": "Q007", "-inf": "Q007", "Infinity": "Q007", "1e999": "Q007",
        "-1e999": "Q007", "1e39": "Q007", "9" * 400: "Q007", "0x1p3": "Q006", "0xff": "Q006", "1_000": "Q006",
        "０.５": "Q006", "٣": "Q006", "--1": "Q006", "+-1": "Q006", "1e": "Q006", "1e+": "Q006", "+": "Q006", "-": "Q006",
        "": "Q006", ".": "Q006", ".5": "Q006", "5.": "Q006", "1.2.3": "Q006", "1 2": "Q006", "1\t": "Q006", "abc": "Q006",
        "1;2": "Q006", "true": "Q006", "null": "Q006", "[1]": "Q006", "1.5f": "Q006", "1d3": "Q006", "1,,2": "Q006",
        "1e1.5": "Q006", "−1": "Q006", "1\u00a0": "Q006",
    }  # fmt: skip
    place = {"1,,2": 6}
    found = [
        _between(
            "numbers",
            f"token {token[:12]!r}",
            line(1, signal_value=with_token(1, token)),
            code,
            f"token {place.get(token, 5)} ",
        )
        for token, code in bad.items()
    ]
    for token in (
        "1e-400",
        "+1.5",
        "1E2",
        "1e+02",
        "-0",
        "007.5",
        "0" * 40 + "1.5",
        "1" * 25,
        " 1.5",
        "1.5 ",
        "1.5e-07",
    ):
        found.append(
            _between("numbers", f"good token {token[:12]!r}", line(1, signal_value=with_token(1, token)), None)
        )
    lists = {
        "[NaN]": "Q007", "[1e999]": "Q007", "[true]": "Q006", "[null]": "Q006", '["1.5"]': "Q006", "[[1]]": "Q008",
        "[{}]": "Q006", "[01]": "Q002", "[+1]": "Q002", "[.5]": "Q002", "[1.]": "Q002", "[1,]": "Q002", "[0x1]": "Q002",
        "[-Infinity]": "Q007", "true": "Q006", "12.5": "Q006", "{}": "Q006", "[1" + "0" * 400 + "]": "Q007",
    }  # fmt: skip
    for samples, code in lists.items():
        found.append(_between("numbers", f"JSON {samples[:14]}", _raw(1, samples), code))
    text = json.dumps([float(v) for v in values(1)])
    first = ",".join(values(1))
    return [
        *found,
        _between("numbers", "list of numbers", _raw(1, text), None),
        _between("numbers", "list without blanks", _raw(1, text.replace(" ", "")), None),
        _between("numbers", "list with integers", _raw(1, text.replace("[", "[3, ", 1).rsplit(",", 1)[0] + "]"), None),
        _between("numbers", "trailing comma", line(1, signal_value=first + ","), "Q006", f"token {T} is empty"),
        _between("numbers", "leading comma", line(1, signal_value="," + first), "Q006", "token 0 is empty"),
        _between("numbers", "brackets inside the text", line(1, signal_value=f"[{first}]"), "Q006", "token 0"),
        _between("numbers", "decimal commas", line(1, signal_value=first.replace(".", ",")), "Q008"),
        _between("numbers", "blanks after commas", line(1, signal_value=first.replace(",", ", ")), None),
        _between("numbers", "semicolons", line(1, signal_value=first.replace(",", ";")), "Q006", "token 0"),
        _between("numbers", "newline escape inside", line(1, signal_value=first.replace(",", "\n", 1)), "Q006"),
    ]


def _lengths() -> list[Case]:
    def cut(n: int) -> str:
        return ",".join((values(1) * 3)[:n])

    found = [
        _between("length", f"{n} values", line(1, signal_value=cut(n)), "Q008", f"{n} samples, wanted {T}")
        for n in (0, 1, T - 1, T + 1, 2 * T)
    ]
    listed = [_between("length", f"list of {n}", _raw(1, json.dumps([0.5] * n)), "Q008") for n in (0, T - 1, T + 1)]
    good = _lines(line(0), line(1), line(2))
    tie = _lines(line(0), line(1, signal_value=cut(T - 1)))
    return [
        *found,
        *listed,
        Case("length", "--length of another length", good, 0, {"Q008": 3}, options=("--length", str(T + 1))),
        Case(
            "length",
            "--length picks the fewer",
            _lines(line(0), line(2), line(1, signal_value=cut(9))),
            1,
            {"Q008": 2},
            options=("--length", "9"),
        ),
        Case("length", "one of each: the longer stays", tie, 1, {"Q008": 1}),
        Case(
            "length", "a million values", _lines(line(0), _raw(1, "[" + "1," * 999_999 + "1]"), line(2)), 2, {"Q008": 1}
        ),
    ]


def _times() -> list[Case]:
    bad = ("1709251200", "01-03-2024 00:00:00", "24-03-01T00:00:00Z", "2024-02-30T00:00:00Z", "2024-03-01T00:00:60Z",
           "2024-03-01T24:00:01Z", "9999-12-31T00:00:00Z", "-2024-03-01T00:00:00Z", "2024-03-01", "yesterday",
           "2024-03-01T00:00:00+99:00", "2024-03-01T00:00:00 Z", "２０２４-03-01T00:00:00Z", "2024-W09-5T00:00:00Z",
           "2024-3-1T0:0:0Z", "2024/03/01 00:00:00", "0001-01-01T00:00:00Z", "NaT")  # fmt: skip
    found = [_between("time", f"time {text!r}", line(1, data_time=text), "Q010") for text in bad]
    for number in (1.5, 99999999, 10**19, True, [1]):
        found.append(_between("time", f"time {number!r} as JSON", line(1, data_time=number), "Q010"))
    for number in (1709251261, 1709251261.25, 1709251261000, 1709251261000000, 1709251261000000000):
        found.append(_between("time", f"good time {number!r} as JSON", line(1, data_time=number), None))
    for text in (
        "2024-03-01T08:01:00+08:00",
        "2024-03-01 00:01",
        "2024-03-01T00:01:00",
        "2024-03-01T00:01:00.123456789Z",
        "2024-03-01T00:01:00,5Z",
        "2024-02-29T23:59:59-0500",
    ):
        found.append(_between("time", f"good time {text!r}", line(1, data_time=text), None))
    return [
        *found,
        Case("time", "decreasing", _lines(line(3), line(2), line(1)), 3),
        Case(
            "time",
            "the same instant in two zones",
            _lines(line(0), line(1), line(9, data_time="2024-03-01T08:01:00+08:00")),
            1,
            {"Q011": 2},
        ),
    ]


def _fields() -> list[Case]:
    missing = ("sensor_id", "data_time", "signal_value")
    found = [_between("fields", f"no {name}", line(1, **{name: ...}), "Q005", f"{name} is missing") for name in missing]
    found += [
        _between("fields", f"{name} null", line(1, **{name: None}), "Q005", f"{name} is missing") for name in missing
    ]
    for name, value, code in (
        ("sensor_id", "", "Q005"),
        ("sensor_id", 1.5, "Q005"),
        ("sensor_id", True, "Q005"),
        ("sensor_id", ["a"], "Q005"),
        ("sensor_id", "a\x00", "Q005"),
        ("sensor_id", "a\nb", "Q005"),
        ("sensor_id", "\x1b[31mred", "Q005"),
        ("machine_id", {"a": 1}, "Q005"),
        ("recording", "r\x07", "Q005"),
        ("fs", -1, "Q006"),
        ("fs", "8192", "Q006"),
        ("fs", True, "Q006"),
        ("fs", 10**400, "Q007"),
        ("covariates", [1, 2], "Q006"),
        ("covariates", {"load": "high"}, "Q006"),
        ("covariates", {"load": True}, "Q006"),
        ("covariates", {"load": 1e300}, "Q007"),
    ):
        found.append(_between("fields", f"{name} = {str(value)[:20]!r}", line(1, **{name: value}), code))
    for name, value in (
        ("sensor_id", 7),
        ("sensor_id", "变压器-1"),
        ("sensor_id", "a/b/../../c"),
        ("sensor_id", "=cmd()"),
        ("sensor_id", "x" * 10_000),
        ("sensor_id", "😀"),
        ("sensor_id", "a\u202eb"),
        ("sensor_id", "<script>alert(1)</script>"),
        ("fs", 0),
        ("fs", None),
        ("covariates", None),
        ("covariates", {"load": None, "oil_temp": 41.5}),
        ("unknown_field", {"deep": [1, 2, {"x": None}]}),
    ):
        found.append(_between("fields", f"good {name} = {str(value)[:20]!r}", line(1, **{name: value}), None))
    return [
        *found,
        _between("fields", "half a surrogate", _raw(1, '"1"').replace(b'"s1"', b'"\\ud800"'), "Q001"),
        _between("fields", "NaN in an unknown field", _raw(1, '"1"')[:-1] + b', "x": [NaN]}', "Q002"),
        _between("fields", "covariate NaN", _raw(1, '"1"')[:-1] + b', "covariates": {"load": NaN}}', "Q007"),
    ]


def _structure() -> list[Case]:
    good = line(1)
    twice = good[:-1] + b', "sensor_id": "s2"}'
    bad = {
        "list": (b"[" + good + b"]", "Q004"),
        "number": (b"12", "Q004"),
        "text": (b'"1,2,3"', "Q004"),
        "null": (b"null", "Q004"),
        "duplicate key": (twice, "Q003"),
        "duplicate samples": (good[:-1] + b', "signal_value": "1,2"}', "Q003"),
        "duplicate key inside": (good[:-1] + b', "x": {"a": 1, "a": 2}}', "Q003"),
        "escaped duplicate": (good[:-1] + b', "\\u0073ensor_id": "s2"}', "Q003"),
        "two objects": (good + good, "Q002"),
        "two objects and a comma": (good + b", " + good, "Q002"),
        "deep": (good[:-1] + b', "x": ' + b"[" * 40 + b"]" * 40 + b"}", "Q002"),
        "deeper": (b"[" * 10_000 + b"]" * 10_000, "Q002"),
        "very deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "Q002"),
        "single quotes": (good.replace(b'"', b"'"), "Q002"),
        "comment": (good + b" // good", "Q002"),
        "trailing comma": (good[:-1] + b",}", "Q002"),
        "csv row": (b"s1,2024-03-01T00:01:00Z,1,2,3", "Q002"),
        "python": (b"{'a': None}", "Q002"),
        "list of records": (b'{"records": [' + good + b"]}", "Q005"),
        "samples nested": (line(1, signal_value=..., x={"signal_value": "1,2"}), "Q005"),
    }  # fmt: skip
    found = [_between("structure", name, text, code) for name, (text, code) in bad.items()]
    pretty = json.dumps(record(1), indent=1).encode()
    return [
        *found,
        Case("structure", "pretty-printed", _lines(line(0), pretty, line(2)), 2, {"Q002": pretty.count(b"\n") + 1}),
        Case("structure", "csv named jsonl", _file("a.jsonl", _csv(3)), 0, {"Q002": 4}),
        Case("structure", "document named jsonl", _file("a.jsonl", json.dumps([record(0)]).encode()), 0, {"Q004": 1}),
        _between("structure", "blanks around tokens", good.replace(b": ", b" : ").replace(b"{", b"{ "), None),
        _between("structure", "samples first", json.dumps(dict(reversed(record(1).items()))).encode(), None),
        _between("structure", "key inside a value", line(1, note='"signal_value": "9,9"'), None),
        _between("structure", "key as a value", line(1, note="signal_value"), None),
    ]


def _documents() -> list[Case]:
    two = [record(0), record(1)]

    def document(value: object) -> Callable[[Path], list[Path]]:
        return _file("a.json", json.dumps(value).encode())

    return [
        Case("documents", "one record", document(two[0]), 1),
        Case("documents", "list", document(two), 2),
        Case("documents", "list under a key", document({"any/key": two, "count": 2}), 2),
        Case("documents", "lists under keys", document({"a": [two[0]], "b": [two[1]]}), 2),
        Case("documents", "list under keys of keys", document({"data": {"records": two}, "meta": {"x": [1, 2]}}), 2),
        Case(
            "documents", "bad record in a list", document([two[0], record(3, sensor_id=None), two[1]]), 2, {"Q005": 1}
        ),
        Case("documents", "number in a list", document([two[0], 5, two[1]]), 2, {"Q004": 1}),
        Case("documents", "list in a list", document([two[0], [two[1]]]), 1, {"Q004": 1}),
        Case("documents", "list of lists", document([[1, 2], [3, 4]]), 0, {"Q004": 2}),
        Case("documents", "text", document("hello"), 0, {"Q004": 1}),
        Case("documents", "object of numbers", document({"a": 1, "b": [1, 2, 3]}), 0, {"Q005": 1}),
        Case("documents", "duplicate key", _file("a.json", b'{"a": 1, "a": 2}'), 0, {"Q003": 1}),
        Case("documents", "two documents", _file("a.json", line(0) + b"\n" + line(1)), 0, {"Q002": 1}),
        Case("documents", "NaN", _file("a.json", b"[" + _raw(0, "[NaN, 1]") + b"," + line(1) + b"]"), 1, {"Q007": 1}),
        Case("documents", "byte-order mark", _file("a.json", b"\xef\xbb\xbf" + json.dumps(two).encode()), 2),
        Case(
            "documents",
            "stray byte",
            _file("a.json", json.dumps(two).encode().replace(b"s1", b"s\xff")),
            0,
            {"Q001": 1},
        ),
        Case("documents", "deep", _file("a.json", b"[" * 5000 + b"]" * 5000), 0, {"Q002": 1}),
        Case("documents", "gz", _file("a.json.gz", gzip.compress(json.dumps(two).encode())), 2),
    ]


def _csv(n: int, **more: str) -> bytes:
    head = ",".join(["sensor_id", "data_time", "signal_value", *more])
    rows = [",".join(["s1", stamp(i), f'"{",".join(values(i))}"', *more.values()]) for i in range(n)]
    return "\n".join([head, *rows, ""]).encode()


def _wide(n: int, width: int = T) -> str:
    head = ",".join(["sensor_id", "data_time", *(f"v{k}" for k in range(width))])
    return "\n".join([head, *(",".join(["s1", stamp(i), *values(i)[:width]]) for i in range(n)), ""])


def _tables() -> list[Case]:
    good = _csv(3)
    rows = good.split(b"\n")
    broken = {
        "too few cells": (b"s1," + stamp(1).encode(), "Q004"),
        "too many cells": (rows[2] + b",x", "Q004"),
        "open quote": (rows[2][:-1], "Q004"),
        "quote inside a cell": (rows[2].replace(b"s1", b's"1'), "Q004"),
        "text behind a quote": (rows[2] + b"x", "Q004"),
        "no sensor": (rows[2].replace(b"s1", b""), "Q005"),
        "no samples": (rows[2][: rows[2].index(b'"')] + b'""', "Q008"),
        "bad token": (rows[2].replace(values(1)[4].encode(), b"x"), "Q006"),
        "no time": (rows[2].replace(stamp(1).encode(), b""), "Q005"),
        "stray byte": (rows[2].replace(b"s1", b"\xff"), "Q001"),
    }
    found = [
        Case("tables", name, _lines(rows[0], rows[1], bad, rows[3], name="a.csv"), 2, {code: 1})
        for name, (bad, code) in broken.items()
    ]
    headers = {
        "semicolons for all commas": _csv(2).replace(b",", b";"),
        "no header": b"\n".join(rows[1:]),
        "no sensor column": good.replace(b"sensor_id", b"sensor"),
        "no time column": good.replace(b"data_time", b"when"),
        "no sample column": good.replace(b"signal_value", b"signal"),
        "samples not in order": _wide(2).replace("v1,", "v2,", 1).encode(),
        "samples apart": _wide(2).replace("v1,", "x,", 1).encode(),
    }
    for name, content in headers.items():
        codes = {"samples not in order": {"Q003": 1}, "semicolons for all commas": {"Q006": 2}}.get(name, {"Q005": 1})
        found.append(Case("tables", name, _file("a.csv", content), 0, codes))
    short = _wide(3).replace("," + ",".join(values(1)[-2:]), ",,", 1)
    return [
        *found,
        Case("tables", "quoted", _file("a.csv", good), 3),
        Case("tables", "semicolons", _file("a.csv", re.sub(rb"(_\w+),|(s1),|(Z),", rb"\1\2\3;", good)), 3),
        Case("tables", "CRLF and byte-order mark", _file("a.csv", b"\xef\xbb\xbf" + good.replace(b"\n", b"\r\n")), 3),
        Case("tables", "column twice", _file("a.csv", good.replace(b"data_time", b"sensor_id")), 0, {"Q003": 1}),
        Case("tables", "columns", _file("a.csv", _wide(3).encode()), 3),
        Case("tables", "columns, two empty", _file("a.csv", short.encode()), 2, {"Q006": 1}, detail="token 62"),
        Case("tables", "fs column", _file("a.csv", _csv(3, fs="8192")), 3),
        Case("tables", "fs column of words", _file("a.csv", _csv(3, fs="fast")), 0, {"Q006": 3}),
        Case("tables", "other columns", _file("a.csv", _csv(3, remark='"say ""hi"", all"')), 3),
        Case("tables", "escaped quotes in the sensor", _file("a.csv", good.replace(b"s1,", b'"s ""1""",')), 3),
    ]


def _encoding() -> list[Case]:
    whole = line(0) + b"\n" + line(1) + b"\n"
    chinese = line(1, sensor_id="变压器")
    number = values(1)[3].encode()
    return [
        Case("encoding", "byte-order mark", _file("a.jsonl", b"\xef\xbb\xbf" + whole), 2),
        Case("encoding", "CRLF", _lines(line(0), line(1), end=b"\r\n"), 2),
        Case("encoding", "CR only", _file("a.jsonl", whole.replace(b"\n", b"\r")), 0, {"Q002": 1}),
        Case("encoding", "mixed line ends", _file("a.jsonl", line(0) + b"\r\n" + line(1) + b"\n" + line(2)), 3),
        Case("encoding", "UTF-16 LE", _file("a.jsonl", whole.decode().encode("utf-16-le")), 0, {"Q001": 1}),
        Case("encoding", "UTF-16 BE", _file("a.jsonl", whole.decode().encode("utf-16-be")), 0, {"Q001": 1}),
        Case("encoding", "UTF-16 with its mark", _file("a.jsonl", whole.decode().encode("utf-16")), 0, {"Q001": 1}),
        Case("encoding", "UTF-32", _file("a.jsonl", whole.decode().encode("utf-32")), 0, {"Q001": 1}),
        _between("encoding", "GB18030", chinese.decode().encode("gb18030"), "Q001"),
        _between("encoding", "Latin-1", line(1, sensor_id="Spüle").decode().encode("latin-1"), "Q001"),
        _between(
            "encoding", "stray byte inside a number", line(1).replace(number, number[:3] + b"\xff" + number[3:]), "Q001"
        ),
        _between("encoding", "overlong zero", line(1).replace(b"s1", b"s\xc0\x80"), "Q001"),
        _between("encoding", "surrogate in UTF-8", line(1).replace(b"s1", b"s\xed\xa0\x80"), "Q001"),
        _between("encoding", "NUL inside a number", line(1).replace(number, number[:3] + b"\x00" + number[3:]), "Q002"),
        _between("encoding", "NUL bytes", b"\x00" * 50, "Q002"),
        _between("encoding", "binary", bytes(range(128, 256)), "Q001"),
        _between("encoding", "UTF-8 id", chinese, None),
    ]


def _size() -> list[Case]:
    def sparse(folder: Path) -> list[Path]:
        with (folder / "a.jsonl").open("wb") as handle:
            handle.write(line(0) + b"\n")
            handle.truncate(40 << 20)
        return [folder / "a.jsonl"]

    def many(folder: Path) -> list[Path]:
        (folder / "a.jsonl").write_bytes(line(0) + b"\n" + b"{}\n" * 5000 + line(1))
        return [folder]

    return [
        Case("size", "17 MB line", _lines(line(0), b'{"x": "' + b"1" * (17 << 20) + b'"}', line(2)), 2, {"Q009": 1}),
        Case("size", "sparse file", sparse, 1, {"Q009": 1}),
        Case("size", "many tiny lines", many, 2, {"Q005": 5000}),
        Case("size", "one record", _lines(line(0)), 1),
    ]


def _gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _archives() -> list[Case]:
    whole = b"\n".join(line(i) for i in range(3)) + b"\n"
    packed = _gz(whole)
    flipped = bytearray(packed)
    flipped[-6] ^= 0xFF
    middle = bytearray(_gz(b"\n".join(line(i) for i in range(40)) + b"\n"))
    middle[len(middle) // 2] ^= 0xFF
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("../x.jsonl")
        info.size = len(whole)
        archive.addfile(info, io.BytesIO(whole))

    def beside(name: str, content: bytes) -> Callable[[Path], list[Path]]:
        def make(folder: Path) -> list[Path]:
            (folder / "good.jsonl").write_bytes(line(0) + b"\n")
            (folder / name).write_bytes(content)
            return [folder]

        return make

    return [
        Case("archives", "good gz", _file("a.jsonl.gz", packed), 3),
        Case("archives", "two members", _file("a.jsonl.gz", packed + _gz(line(9) + b"\n")), 4),
        Case("archives", "bomb without a line", _file("a.jsonl.gz", _gz(b"\0" * (8 << 20))), 0, {"Q019": 1}),
        Case(
            "archives",
            "bomb of blank lines",
            _file("a.jsonl.gz", _gz(line(0) + b"\n" + b"\n" * (8 << 20))),
            0,
            {"Q019": 1, "Q019 withdrawn": 1},
        ),
        Case("archives", "bomb document", _file("a.json.gz", _gz(b" " * (8 << 20))), 0, {"Q019": 1}),
        Case("archives", "gz of gz", _file("a.jsonl.gz", _gz(packed)), 0, {"Q019": 1}),
        Case("archives", "gz named jsonl", _file("a.jsonl", packed), 0, {"Q019": 1}),
        Case("archives", "zip named jsonl", _file("a.jsonl", _npz_bytes(signals=_X)), 0, {"Q019": 1}),
        Case("archives", "text named gz", _file("a.jsonl.gz", whole), 0, {"Q001": 1}),
        Case("archives", "wrong checksum", _file("a.jsonl.gz", bytes(flipped)), 0, {"Q001": 4}),
        Case("archives", "damaged in the middle", _file("a.jsonl.gz", bytes(middle)), 0, {"Q001": -1}),
        Case("archives", "garbage behind", _file("a.jsonl.gz", packed + b"garbage"), 0, {"Q001": 4}),
        Case("archives", "tar beside", beside("a.tar", tar.getvalue()), 1),
        Case("archives", "zip beside", beside("a.zip", _npz_bytes(signals=_X)), 1),
        Case("archives", "pickle beside", beside("a.pkl", b"cos\nsystem\n(S'true'\ntR."), 1),
    ]


def _npz_bytes(**arrays: object) -> bytes:
    made = io.BytesIO()
    np.savez_compressed(made, **{name: np.asarray(array) for name, array in arrays.items()})
    return made.getvalue()


def _npz(**arrays: object) -> Callable[[Path], list[Path]]:
    return _file("a.npz", _npz_bytes(**arrays))


def _zip(members: list[tuple[str, bytes]]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def _npy(array: np.ndarray, **more: object) -> bytes:
    made = io.BytesIO()
    np.save(made, array, **more)  # type: ignore[arg-type]
    return made.getvalue()


def _arrays() -> list[Case]:
    x = _X[:4].astype(np.float32)
    holed = x.copy()
    holed[2, 7] = np.nan
    times = np.array([stamp(i) for i in range(4)])
    late = times.copy()
    late[1] = "2024-02-30T00:00:00Z"
    short = _npy(x)[:-8]
    signals = _npy(x)
    crc = bytearray(_zip([("signals.npy", signals)]))
    crc[60 + len("signals.npy")] ^= 0xFF
    return [
        Case("arrays", "two axes", _npz(signals=x), 4),
        Case("arrays", "three axes", _npz(signals=np.stack([x, x], axis=1), sensor_id=np.array(list("abcd"))), 4),
        Case("arrays", "float64", _npz(signals=x.astype(np.float64)), 4),
        Case("arrays", "integers", _npz(signals=(x * 100).astype(np.int16)), 4),
        Case("arrays", "Fortran order", _npz(signals=np.asfortranarray(x)), 4),
        Case("arrays", "big endian", _npz(signals=x.astype(">f4")), 4),
        Case("arrays", "one sensor and rate for all", _npz(signals=x, sensor_id="a", fs=8192.0, unit="g"), 4),
        Case("arrays", "times", _npz(signals=x, sensor_id="a", data_time=times), 4),
        Case("arrays", "datetime64", _npz(signals=x, sensor_id="a", data_time=times.astype("U23").astype("M8[ms]")), 4),
        Case("arrays", "label ignored", _npz(signals=x, label=np.array([[1, 2]])), 4),
        Case("arrays", "one axis", _npz(signals=x[0]), 0, {"Q008": 1}),
        Case("arrays", "four axes", _npz(signals=x[None, None]), 0, {"Q008": 1}),
        Case("arrays", "complex", _npz(signals=x.astype(complex)), 0, {"Q006": 1}),
        Case("arrays", "text", _npz(signals=x.astype(str)), 0, {"Q006": 1}),
        Case("arrays", "bool", _npz(signals=x > 0), 0, {"Q006": 1}),
        Case("arrays", "NaN", _npz(signals=holed), 3, {"Q007": 1}, detail="sample 7"),
        Case(
            "arrays",
            "beyond float32",
            _npz(signals=np.where(np.isnan(holed), 1e300, holed.astype(float))),
            3,
            {"Q007": 1},
        ),
        Case("arrays", "no samples", _npz(signals=np.zeros((3, 0))), 0, {"Q008": 3}),
        Case("arrays", "other name", _npz(x=x), 4),
        Case("arrays", "too few sensors", _npz(signals=x, sensor_id=["a", "b"]), 0, {"Q005": 1}),
        Case("arrays", "bad time", _npz(signals=x, sensor_id="a", data_time=late), 3, {"Q010": 1}),
        Case("arrays", "times as numbers", _npz(signals=x, data_time=np.arange(4.0)), 0, {"Q010": 4}),
        Case("arrays", "negative rate", _npz(signals=x, fs=-5.0), 0, {"Q006": 4}),
        Case("arrays", "rate as text", _npz(signals=x, fs="fast"), 0, {"Q006": 1}),
        Case("arrays", "rates of their own", _npz(signals=x, fs=np.array([100.0, 100, 100, 200])), 3, {"Q013": 1}),
        Case(
            "arrays",
            "pickled signals",
            _file("a.npz", _zip([("signals.npy", _npy(np.array([{}, None]), allow_pickle=True))])),
            0,
            {"Q006": 1},
        ),
        Case(
            "arrays",
            "pickled sensors",
            _file(
                "a.npz",
                _zip([("signals.npy", signals), ("sensor_id.npy", _npy(np.array([{}] * 4), allow_pickle=True))]),
            ),
            0,
            {"Q001": 1},
        ),
        Case("arrays", "fewer samples than said", _file("a.npz", _zip([("signals.npy", short)])), 0, {"Q001": -1}),
        Case(
            "arrays",
            "more samples than said",
            _file("a.npz", _zip([("signals.npy", signals + b"1234")])),
            0,
            {"Q001": 5},
        ),
        Case("arrays", "no header", _file("a.npz", _zip([("signals.npy", b"hello")])), 0, {"Q001": 1}),
        Case("arrays", "damaged", _file("a.npz", bytes(crc)), 0, {"Q001": -1}),
        Case("arrays", "text named npz", _file("a.npz", b"hello"), 0, {"Q001": 1}),
        Case("arrays", "npy named npz", _file("a.npz", signals), 0, {"Q001": 1}),
        Case("arrays", "bomb", _npz(signals=np.zeros((64, 1 << 16), np.float32)), 0, {"Q019": 1}),
        Case("arrays", "many members", _file("a.npz", _zip([(f"m{i}.npy", b"") for i in range(1001)])), 0, {"Q019": 1}),
        Case(
            "arrays",
            "paths as members",
            _file("a.npz", _zip([("signals.npy", signals), ("../../x.npy", b""), ("/etc/y.npy", b"")])),
            4,
        ),
    ]


def _signals() -> list[Case]:
    rng = np.random.default_rng(3)
    n = 2000
    t = np.arange(n) / 8192
    spike = np.zeros(n)
    spike[77] = 1.0
    silent = np.zeros(n)
    silent[500:520] = rng.standard_normal(20)
    noise = rng.standard_normal(n)
    stuck = noise.copy()
    stuck[n // 2 :] = stuck[n // 2]
    kinds = {
        "constant": (np.full(n, 0.25), 1),
        "zero": (np.zeros(n), 1),
        "minus zero": (-np.zeros(n), 1),
        "one spike": (spike, 0),
        "full scale square": (np.sign(np.sin(2 * np.pi * 50 * t) + 1e-9), 0),
        "clipped noise": (np.clip(noise, -1, 1), 1),
        "clipped on one side": (np.minimum(noise, 0.8), 1),
        "stuck half": (stuck, 1),
        "offset of a million": (noise + 1e6, 0),
        "denormals": (noise * 1e-40, 0),
        "1e30": (noise * 1e30, 0),
        "integers": (np.rint(noise * 100), 0),
        "few levels": (np.rint(noise * 3), 0),
        "pure 50 Hz": (np.round(np.sin(2 * np.pi * 50 * t), 2), 0),
        "white noise": (noise, 0),
        "silent and impulse": (silent, 0),
        "ramp": (np.linspace(-1, 1, n), 0),
    }
    found = []
    for name, (x, invalid) in kinds.items():
        content = json.dumps(record(0, signal_value=",".join(f"{v:.9g}" for v in x)))
        found.append(Case("signals", name, _lines(content.encode()), 1, invalid=invalid))
    zero = json.dumps(record(0, signal_value=",".join(["0"] * T))).encode()
    strict = ("--strict-quality",)
    return [
        *found,
        Case("signals", "zero, strict", _lines(zero, line(1), line(2)), 2, {"Q015": 1}, options=strict),
        Case(
            "signals",
            "constant, strict",
            _lines(zero.replace(b"0,", b"3,").replace(b',0"', b',3"'), line(1)),
            1,
            {"Q014": 1},
            options=strict,
        ),
    ]


def _rates_and_units() -> list[Case]:
    def three(*rates: object) -> Callable[[Path], list[Path]]:
        return _lines(*(line(i, fs=rate) for i, rate in enumerate(rates)))

    units = _lines(line(0, unit="g"), line(1, unit="g"), line(2, unit="m/s2"), line(3, unit="furlong"))
    return [
        Case("rates", "declared", three(8192, 8192, 8192), 3),
        Case("rates", "one differs", three(8192, 10000, 8192), 2, {"Q013": 1}),
        Case("rates", "one says nothing", three(8192, 0, 8192.0), 3),
        Case("rates", "--fs agrees", three(8192, 8192, 8192), 3, options=("--fs", "8192")),
        Case("rates", "--fs differs", three(8192, 8192, 8192), 0, {"Q013": 3}, options=("--fs", "10000")),
        Case("rates", "--fs agrees with one", three(8192, 8192, 4096), 1, {"Q013": 2}, options=("--fs", "4096")),
        Case("units", "two units and an unknown one", units, 3, {"Q018": 1}),
        Case(
            "units",
            "--unit differs",
            _lines(line(0, unit="g"), line(1, unit="g")),
            0,
            {"Q018": 2},
            options=("--unit", "mm/s"),
        ),
    ]


def _duplicates() -> list[Case]:
    def folder(*names: str) -> Callable[[Path], list[Path]]:
        def make(folder: Path) -> list[Path]:
            for name in names:
                (folder / name).write_bytes(line(0) + b"\n" + line(1) + b"\n")
            return [folder]

        return make

    other = line(9, data_time=stamp(1))
    return [
        Case("duplicates", "exact", _lines(line(0), line(1), line(1)), 2, {"Q012": 1}),
        Case("duplicates", "three times", _lines(line(1), line(1), line(1)), 1, {"Q012": 2}),
        Case("duplicates", "the same file twice", folder("a.jsonl", "b.jsonl"), 2, {"Q012": 2}),
        Case("duplicates", "conflict", _lines(line(0), line(1), other), 1, {"Q011": 2}),
        Case("duplicates", "conflict and copy", _lines(line(0), line(1), line(1), other), 1, {"Q011": 2, "Q012": 1}),
        Case("duplicates", "two sensors", _lines(line(1), line(1, sensor_id="s2")), 2),
    ]


def _file_system() -> list[Case]:
    def beside(make: Callable[[Path], object], *, named: bool = False) -> Callable[[Path], list[Path]]:
        def both(folder: Path) -> list[Path]:
            (folder / "good.jsonl").write_bytes(line(0) + b"\n")
            made = make(folder)
            return [folder / "good.jsonl", made] if named else [folder]  # type: ignore[list-item]

        return both

    def pipe(folder: Path) -> Path:
        os.mkfifo(folder / "a.jsonl")
        return folder / "a.jsonl"

    def plug(folder: Path) -> Path:
        here = os.getcwd()
        os.chdir(folder)  # the name of a socket is short
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind("a.jsonl")
        finally:
            os.chdir(here)
        return folder / "a.jsonl"

    def dangling(folder: Path) -> Path:
        (folder / "a.jsonl").symlink_to(folder / "nowhere.jsonl")
        return folder / "a.jsonl"

    def loop(folder: Path) -> Path:
        (folder / "a.jsonl").symlink_to(folder / "a.jsonl")
        return folder / "a.jsonl"

    def folder_loop(folder: Path) -> Path:
        (folder / "again").symlink_to(folder)
        return folder / "again"

    def link(folder: Path) -> Path:
        (folder / "x").mkdir()
        (folder / "x" / "target.txt").write_bytes(line(1) + b"\n")
        (folder / "a.jsonl").symlink_to(folder / "x" / "target.txt")
        return folder / "a.jsonl"

    def named_folder(folder: Path) -> Path:
        (folder / "x.jsonl").mkdir()
        (folder / "x.jsonl" / "b.jsonl").write_bytes(line(1) + b"\n")
        return folder / "x.jsonl"

    def odd_name(name: bytes) -> Callable[[Path], Path]:
        def make(folder: Path) -> Path:
            path = os.path.join(os.fsencode(folder), name)
            with open(path, "wb") as handle:
                handle.write(line(1) + b"\n")
            return Path(os.fsdecode(path))

        return make

    def upper(folder: Path) -> Path:
        (folder / "B.JSONL").write_bytes(line(1) + b"\n")
        return folder / "B.JSONL"

    return [
        Case("files", "unknown ending, named", _file("a.xyz", line(0)), 0, {"Q020": 1}),
        Case("files", "unknown ending in a folder", beside(lambda folder: (folder / "a.txt").write_bytes(b"x")), 1),
        Case("files", "pipe, named", beside(pipe, named=True), 1, {"Q020": 1}),
        Case("files", "pipe in a folder", beside(pipe), 1, {"Q020": 1}),
        Case("files", "socket", beside(plug), 1, {"Q020": 1}),
        Case("files", "dangling link, named", beside(dangling, named=True), 1, {"Q020": 1}),
        Case("files", "dangling link in a folder", beside(dangling), 1),
        Case("files", "link to itself, named", beside(loop, named=True), 1, {"Q020": 1}),
        Case("files", "link to the folder", beside(folder_loop), 1),
        Case("files", "link to a file, named", beside(link, named=True), 2),
        Case("files", "link to a file in a folder", beside(link), 1),
        Case("files", "folder named like a file", beside(named_folder), 2),
        Case("files", "name of 255 bytes", beside(odd_name(b"x" * 249 + b".jsonl")), 2),
        Case("files", "name that is no UTF-8", beside(odd_name(b"\xff\xfe.jsonl")), 2),
        Case("files", "name with a newline", beside(odd_name(b"a\nb.jsonl")), 2),
        Case("files", "name with markup", beside(odd_name(b"[red]a.jsonl")), 2),
        Case("files", "capital ending", beside(upper), 2),
        Case("files", "the same path twice", lambda folder: _lines(line(0))(folder) * 2, 1),
    ]


def tally(family: list[Case]) -> Counter[str]:
    """Cases by family."""
    return Counter(case.family for case in family)
