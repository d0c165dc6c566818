"""The tables of a run and of an explained record on stdout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibro.cli.console import clean, line, note, table


def show_run(found: Mapping[str, Any], lang: str) -> None:
    """The result of a run: counts per level, the highest records, one line per detector, warnings."""
    word = _WORDS[lang]
    records, cuts = found["records"], found["thresholds"]["cuts"]
    line(
        f"{word['read']} {records['read']} = {word['accepted']} {records['accepted']}"
        f" + {word['quarantined']} {records['quarantined']}"
    )
    shown = [(word.get(level, level), count, found["machines"][level]) for level, count in found["levels"].items()]
    table((word["level"], word["records"], word["machines"]), shown)
    if found["transients"]:
        records = sum(event["records"] for event in found["transients"])
        line(f"{word['transients']}: {len(found['transients'])} ({records} {word['records']})")
    line(f"{word['cuts']}: {word['attention']} {cuts['attention']:.3g}, {word['alarm']} {cuts['alarm']:.3g}")
    line()
    table(
        (word["record"], word["sensor"], word["time"], word["score"], word["level"], word["looks_like"]),
        [
            (
                r["record_id"],
                r["sensor_id"],
                _time(r["data_time"]),
                f"{r['score']:.2f}",
                word.get(r["level"], r["level"]) + (f" ({r['reason']})" if r["reason"] else ""),
                looks_like(r["hypothesis"]),
            )
            for r in found["top"]
        ],
        title=word["top"],
    )
    line()
    rows = []
    for d in found["detectors"]:
        health = ", ".join(f"{key} {value:.3g}" for key, value in d["health"].items())
        rows.append((d["id"], d["status"], f"{d['weight']:.2f}", d["reason"] or health or "-"))
    table((word["detector"], word["status"], word["weight"], word["health"]), rows)
    if found["metrics"]:
        fused = found["metrics"]["fused"]
        text = ", ".join(f"{name} {fused[key]:.3f}" for name, key in _METRICS if fused.get(key) is not None)
        line(f"{word['metrics']}: {text or '-'}")
        if found["persistence"]["on"]:
            persistent = found["metrics"]["persistent"]["average_precision"]
            line(f"{word['persistent']}: {'-' if persistent is None else format(persistent, '.3f')}")
        show_alarms(found["metrics"]["alarms"], word)
    for text in found["warnings"]:
        note(f"warning: {clean(text)}")


def show_alarms(found: Mapping[str, Any], word: Mapping[str, str]) -> None:
    """Precision and recall of the alarms, with the records of each label by level; rows fitted and left out apart."""
    for part in [name for name in ("train", "test") if found[name]] or ["all"]:
        judged = found[part]
        figures = [
            f"{word[key]} {'-' if judged[key] is None else format(judged[key], '.3f')}"
            for key in ("precision", "recall", "false_alarm_rate")
        ]
        rows = [
            (word.get(level, level), n["anomalous"], n["normal"])
            for level in ("alarm", "attention", "normal", "invalid", "indeterminate")
            if any((n := judged["confusion"][level]).values()) or level in ("alarm", "attention", "normal")
        ]
        title = f"{word['raised']}{'' if part == 'all' else f' ({word[part]})'}: {', '.join(figures)}"
        table((word["level"], word["anomalous_labels"], word["normal_labels"]), rows, title=title)


def show_explanation(found: Mapping[str, Any]) -> None:
    """The answer of ``vibro explain``."""
    time = _time(found["data_time"]) or "no time"
    line(f"record {found['record_id']} of sensor {clean(found['sensor_id'])} at {time}")
    level = found["level"] + (f" ({found['reason']})" if found["reason"] else "")
    followed = ("persistent_score",) if found["persistent_score"] != found["score"] else ()
    keys: tuple[str, ...] = ("score", *followed, "p_value", "agreement")
    line(", ".join([f"level {level}", *(f"{k} {_number(found[k])}" for k in keys)]))
    line()
    show_hypotheses(found)
    line()
    rows = [
        (d["id"], _number(d["z"]), _number(d["cut"]), _number(d["weight"]), "yes" if d["exceeds"] else "no")
        for d in found["detectors"]
    ]
    table(("detector", "z", "its cut", "weight", "over its cut"), rows)
    if found["features"]:
        line()
        keys = ("value", "baseline_median", "z")
        table(("feature", *keys), [(f["name"], *(_number(f[key]) for key in keys)) for f in found["features"]])
    if found["lines"]:
        line()
        shown = [(_number(r["hz"]), _number(r["multiple"]), f"{r['db_over_baseline']:+.1f}") for r in found["lines"]]
        table(("line (Hz)", "multiple of the mains", "dB over the baseline"), shown)


def show_hypotheses(found: Mapping[str, Any]) -> None:
    """What an explained record looks like, with the evidence; what nothing speaks for, and what could not be judged."""
    hypotheses = found["hypotheses"] or []
    named = [h for h in hypotheses if h["grade"] != "none"]
    for h in named:
        line(f"{h['name']}, {h['grade']}")
        for text in h["evidence"]:
            line(f"  for: {clean(text)}")
        for text in h["against"]:
            line(f"  against: {clean(text)}")
    if found["hypotheses"] is not None and not named:
        line("the record looks like none of the known faults")
    if rest := [h["name"] for h in hypotheses if h["grade"] == "none"]:
        line(f"no evidence for: {', '.join(rest)}")
    for text in (*found["not_judged"], *found["facts"]):
        line(clean(text))


def looks_like(hypothesis: Mapping[str, Any] | None) -> str:
    """A hypothesis in one cell of a table."""
    return f"{hypothesis['name']}, {hypothesis['grade']}" if hypothesis else "-"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "-"


_METRICS = (
    ("ROC AUC", "roc_auc"),
    ("average precision", "average_precision"),
    ("recall at budget", "recall_at_budget"),
)
_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "read": "read",
        "accepted": "accepted",
        "quarantined": "quarantined",
        "level": "level",
        "records": "records",
        "transients": "transients",
        "cuts": "cuts",
        "attention": "attention",
        "alarm": "alarm",
        "record": "record",
        "sensor": "sensor",
        "time": "time",
        "score": "score",
        "persistent": "average precision of persistent_score",
        "top": "highest records",
        "looks_like": "looks like",
        "detector": "detector",
        "status": "status",
        "weight": "weight",
        "health": "health or reason",
        "metrics": "against the labels",
        "machines": "machines",
        "raised": "alarms as raised",
        "train": "rows fitted on",
        "test": "rows left out of the fit",
        "precision": "precision",
        "recall": "recall",
        "false_alarm_rate": "false-alarm rate",
        "anomalous_labels": "labelled anomalous",
        "normal_labels": "labelled normal",
    },
    "zh": {
        "read": "读取",
        "accepted": "接受",
        "quarantined": "隔离",
        "level": "级别",
        "records": "记录数",
        "transients": "瞬态事件",
        "cuts": "阈值",
        "normal": "正常",
        "attention": "注意",
        "alarm": "异常",
        "invalid": "数据无效",
        "indeterminate": "无法判定",
        "record": "记录",
        "sensor": "传感器",
        "time": "时间",
        "score": "得分",
        "persistent": "persistent_score 的平均精度",
        "top": "得分最高的记录",
        "looks_like": "疑似",
        "detector": "检测器",
        "status": "状态",
        "weight": "权重",
        "health": "健康或原因",
        "metrics": "与标签对照",
        "machines": "设备数",
        "raised": "实际发出的报警",
        "train": "参与拟合的记录",
        "test": "未参与拟合的记录",
        "precision": "精确率",
        "recall": "召回率",
        "false_alarm_rate": "误报率",
        "anomalous_labels": "标签异常",
        "normal_labels": "标签正常",
    },
}


def _time(value: object) -> str:
    from vibro.io.files import plain

    return str(plain(value) or "")
