"""The tables of ``vibro data check``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from vibro.cli import console

if TYPE_CHECKING:
    from vibro.ingest import Accounting

SHOWN = 20  # rows of a table on the terminal


def show_files(found: Mapping[str, Any], lang: str) -> None:
    """How the first file of every kind is understood, what became of every file, the sum, and what is refused."""
    word = _WORDS[lang]
    _show_preview(found["preview"], word)
    rows = [
        (f["source"], f["read"], f["accepted"], f["quarantined"], f["invalid"], _codes(f["by_code"] | f["remarks"]))
        for f in found["files"]
    ]
    names = ("file", "read", "accepted", "quarantined", "invalid", "codes")
    if rows:
        console.table([word[name] for name in names], _some(rows, word))
    total = found["records"]
    console.line(
        f"{word['read']} {total['read']} = {word['accepted']} {total['accepted']}"
        f" + {word['quarantined']} {total['quarantined']}"
    )

    for item in found["refused"]:
        console.line(
            console.clean(f"{item['code']} {item['reason']} x {item['count']}: {item['first']}: {item['detail']}")
        )
        console.line(f"  -> {console.told(item['way'])}")
    if found["ignored"]:
        shown = ", ".join(f"{i['source']} ({i['reason']})" for i in found["ignored"][:3])
        more = f" {word['more'].format(len(found['ignored']) - 3)}" if len(found["ignored"]) > 3 else ""
        console.line(console.clean(f"{word['ignored']}: {shown}{more}"))


def _show_preview(kinds: list[dict[str, Any]], word: Mapping[str, str]) -> None:
    """The first file of every kind as vibro understands it."""
    rows = []
    for kind in kinds:
        low, high = kind["samples"] or (0, 0)
        rows.append(
            (
                kind["file"] + (f" (1 / {kind['files']})" if kind["files"] > 1 else ""),
                kind["looks_like"],
                kind["records"],
                f"{kind['channels']} x {low}" + (f"..{high}" if high > low else ""),
                ", ".join(f"{rate:g}" for rate in kind["fs"]) or "-",
                kind["time"] or "-",
                _few(kind["sensors"]),
                _few(kind["machines"]),
                _few(kind["units"]),
            )
        )
    names = ("first", "looks", "records", "length", "fs_hz", "time", "sensors", "machines", "unit")
    if rows:
        console.table([word["first_file"] if name == "first" else word[name] for name in names], rows)
        console.line()


def _few(texts: list[str]) -> str:
    return ", ".join(texts[:2]) + (f" ... ({len(texts)})" if len(texts) > 2 else "") or "-"


def show_survey(found: Mapping[str, Any], lang: str) -> None:
    """Files, sensors, signal, times and labels."""
    word = _WORDS[lang]
    show_files(found, lang)
    console.line()
    rows = [
        (
            s["sensor_id"] or "-",
            s["machine_id"] if isinstance(s["machine_id"], str) else len(s["machine_id"]),
            s["records"],
            s["invalid"],
            s["first"] or "-",
            s["last"] or "-",
            s["gaps"],
        )
        for s in found["sensors"]
    ]
    names = ("sensor", "machine", "records", "invalid", "first", "last", "gaps")
    console.table([word[name] for name in names], _some(rows, word))
    console.line()
    signal, twice = found["signal"], found["duplicates"]
    fs = f"{signal['fs']:g} Hz ({signal['fs_source']})" if signal["fs"] else word["unknown"]
    mains = f", {word['mains']} {signal['mains_hz']:.2f} Hz" if signal["mains_hz"] else ""
    console.line(f"{word['fs']}: {fs}, {word['comb']}: {signal['fs_check']}{mains}")
    console.line(f"{word['length']}: {signal['channels']} x {signal['length']}, {word['unit']}: {signal['unit']}")
    console.line(f"{word['duplicates']}: {twice['exact']} Q012, {twice['conflicting']} Q011")
    if found["labels"]:
        tally = ", ".join(f"{word.get(key, key)} {value}" for key, value in found["labels"].items())
        console.line(f"{word['labels']}: {tally}")
    if found["covariates"]:
        tally = ", ".join(f"{name} {count}" for name, count in found["covariates"].items())
        console.line(f"{word['covariates']}: {tally}")
    for text in found["warnings"]:
        console.note(f"warning: {text}")


def show_findings(books: Accounting, lang: str) -> None:
    """The first findings with their place and reason."""
    word = _WORDS[lang]
    rows = [
        (
            f.source,
            f.line if f.line >= 0 else f.row if f.row >= 0 else "-",
            f.code,
            console.told(f.disposition),
            f.detail,
        )
        for f in islice(books.findings(), SHOWN)
    ]
    if rows:
        console.line()
        console.table([word[name] for name in ("file", "place", "code", "disposition", "detail")], rows)
        more = sum(c.quarantined + c.others.total() for c in books.files.values()) - len(rows)
        if more:
            console.line(word["more"].format(more))


def _some(rows: list[tuple[Any, ...]], word: Mapping[str, str]) -> list[tuple[Any, ...]]:
    if len(rows) <= SHOWN:
        return rows
    return [*rows[:SHOWN], (word["more"].format(len(rows) - SHOWN), *[""] * (len(rows[0]) - 1))]


def _codes(codes: Mapping[str, int]) -> str:
    return ", ".join(f"{code} x {count}" for code, count in sorted(codes.items())) or "-"


_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "file": "file",
        "first_file": "first file of a kind",
        "looks": "read as",
        "fs_hz": "fs in Hz",
        "time": "time",
        "sensors": "sensors",
        "machines": "machines",
        "read": "read",
        "accepted": "accepted",
        "quarantined": "quarantined",
        "invalid": "invalid",
        "codes": "codes",
        "sensor": "sensor",
        "machine": "machine",
        "records": "records",
        "first": "first",
        "last": "last",
        "gaps": "gaps",
        "fs": "sampling rate",
        "comb": "comb of the mains",
        "mains": "mains",
        "unknown": "not given",
        "length": "channels x samples",
        "unit": "unit",
        "duplicates": "duplicates",
        "ignored": "ignored files",
        "labels": "labels",
        "covariates": "covariates",
        "place": "line or row",
        "code": "code",
        "disposition": "disposition",
        "detail": "detail",
        "more": "... and {} more",
    },
    "zh": {
        "file": "文件",
        "first_file": "每类首个文件",
        "looks": "读作",
        "fs_hz": "采样率 Hz",
        "time": "时间",
        "sensors": "传感器",
        "machines": "设备",
        "read": "读入",
        "accepted": "接受",
        "quarantined": "隔离",
        "invalid": "无效",
        "codes": "原因代码",
        "sensor": "传感器",
        "machine": "设备",
        "records": "记录数",
        "first": "最早",
        "last": "最晚",
        "gaps": "间断",
        "fs": "采样率",
        "comb": "工频谐波核对",
        "mains": "工频",
        "unknown": "未给出",
        "length": "通道 x 点数",
        "unit": "单位",
        "duplicates": "重复记录",
        "ignored": "忽略的文件",
        "labels": "标签",
        "covariates": "工况量",
        "place": "行号",
        "code": "代码",
        "disposition": "处置",
        "detail": "说明",
        "more": "……另有 {} 项",
        "key": "键",
        "matched": "匹配",
        "unmatched": "未匹配",
        "normal": "正常",
        "anomalous": "异常",
    },
}
