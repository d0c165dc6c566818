"""The terminal: tables and results on stdout, progress, notes and errors on stderr; plain text where it is no terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vibro import hookimpl

if TYPE_CHECKING:
    from rich.console import Console

    from vibro.events import Event
    from vibro.host.manager import PluginHost

_options = {"quiet": False, "json": False}


def configure(*, quiet: bool, json: bool) -> None:
    """Sets how much of the running command is shown, and in what form."""
    _options.update(quiet=quiet, json=json)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty(), markup=False, emoji=False)


def clean(value: object) -> str:
    """Text without control characters, so that data cannot steer a terminal; a non-breaking space is a space."""
    text = str(value).replace("\u00a0", " ")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def line(text: str = "") -> None:
    """One line of the result."""
    _console(stderr=False).print(text)


def note(text: str) -> None:
    """One line for the user beside the result; silent with ``--quiet``."""
    if not _options["quiet"]:
        if _options["json"]:
            sys.stderr.write(json.dumps({"event": "note", "text": text}, ensure_ascii=False) + "\n")
        else:
            _console(stderr=True).print(text, style="yellow" if text.startswith("warning") else None)


def error(message: str, hint: str | None) -> None:
    """An error and the next thing to type."""
    out = _console(stderr=True)
    out.print(f"error: {clean(message)}", style="bold red")
    if hint:
        out.print(f"hint: {clean(hint)}", style="cyan")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table on stdout: framed on a terminal, columns aligned with blanks elsewhere."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.table import Table
        from rich.text import Text

        grid = Table(*headers, title=title, title_justify="left")
        for row in cells:
            grid.add_row(*[Text(cell) for cell in row])
        _console(stderr=False).print(grid)
        return
    if title:
        line(title)
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    for row in [list(headers), *cells]:
        line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON object on stdout."""
    from vibro.io.files import plain

    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=1, allow_nan=False) + "\n")


@contextmanager
def progress(host: PluginHost) -> Iterator[None]:
    """Shows the events of the host's runs while the body works."""
    observer = Progress()
    host.observe(observer, "terminal")
    try:
        yield
    finally:
        observer.close()


def run_tables(found: Mapping[str, Any], lang: str) -> None:
    """The result of a run: counts per level, the highest records, one line per detector, warnings."""
    word = _WORDS[lang]
    records, cuts = found["records"], found["thresholds"]["cuts"]
    line(
        f"{word['read']} {records['read']} = {word['accepted']} {records['accepted']}"
        f" + {word['quarantined']} {records['quarantined']}"
    )
    shown = [(word.get(level, level), count, found["machines"][level]) for level, count in found["levels"].items()]
    table((word["level"], word["records"], word["machines"]), shown)
    line(f"{word['cuts']}: {word['attention']} {cuts['attention']:.3g}, {word['alarm']} {cuts['alarm']:.3g}")
    line()
    table(
        (word["record"], word["sensor"], word["time"], word["score"], word["level"]),
        [
            (
                r["record_id"],
                r["sensor_id"],
                _time(r["data_time"]),
                f"{r['score']:.2f}",
                word.get(r["level"], r["level"]),
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
        alarms_as_raised(found["metrics"]["alarms"], word)
    for text in found["warnings"]:
        note(f"warning: {clean(text)}")


def alarms_as_raised(found: Mapping[str, Any], word: Mapping[str, str]) -> None:
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


def explanation(found: Mapping[str, Any]) -> None:
    """The answer of ``vibro explain``."""
    time = _time(found["data_time"]) or "no time"
    line(f"record {found['record_id']} of sensor {clean(found['sensor_id'])} at {time}")
    line(
        ", ".join([f"level {found['level']}", *(f"{k} {_number(found[k])}" for k in ("score", "p_value", "agreement"))])
    )
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
        "cuts": "cuts",
        "attention": "attention",
        "alarm": "alarm",
        "record": "record",
        "sensor": "sensor",
        "time": "time",
        "score": "score",
        "top": "highest records",
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
        "top": "得分最高的记录",
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


class Progress:
    """Observer of a run's events: live on a terminal, else plain lines, JSON lines with ``--json``."""

    def __init__(self) -> None:
        self._live: Any = None
        self._bars: dict[str, Any] = {}
        self._counts: dict[str, list[int]] = {}  # stage -> tasks done, tasks in all

    @hookimpl
    def on_event(self, event: Event) -> None:
        """Shows one event."""
        if _options["json"]:
            from dataclasses import asdict

            line_of = {"event": type(event).__name__, **asdict(event)}
            sys.stderr.write(json.dumps(line_of, ensure_ascii=False) + "\n")
        elif _options["quiet"]:
            return
        elif sys.stderr.isatty():
            self._show(event)
        else:
            text = self._counted(event) + _plain(event)
            if text:
                sys.stderr.write(text + "\n")

    def close(self) -> None:
        """Ends the live display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _counted(self, event: Event) -> str:
        """``k of n`` before a finished task of a stage whose number of tasks is known."""
        from vibro import events

        if isinstance(event, events.StageStarted) and event.total:
            self._counts[event.stage] = [0, event.total]
        if not isinstance(event, events.TaskFinished) or event.stage not in self._counts:
            return ""
        self._counts[event.stage][0] += 1
        done, total = self._counts[event.stage]
        return f"  {done} of {total}"

    def _show(self, event: Event) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        from vibro import events

        if self._live is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._live = Progress(*columns, console=_console(stderr=True), transient=False)
            self._live.start()
        if isinstance(event, events.StageStarted):
            self._bars[event.stage] = self._live.add_task(event.stage, total=event.total or None)
        elif isinstance(event, events.TaskStarted) and event.stage in self._bars:
            self._live.update(self._bars[event.stage], description=f"{event.stage}: {clean(event.task)}")
        elif isinstance(event, events.TaskProgress) and event.stage in self._bars:
            text = f"{event.stage}: {clean(event.task)} {100 * event.done // max(1, event.total)} %"
            self._live.update(self._bars[event.stage], description=text)
        elif isinstance(event, events.TaskFinished) and event.stage in self._bars:
            self._live.advance(self._bars[event.stage])
        elif isinstance(event, events.StageFinished) and event.stage in self._bars:
            bar = self._bars.pop(event.stage)
            total = next(t.total for t in self._live.tasks if t.id == bar) or 1
            self._live.update(bar, description=event.stage, completed=total, total=total)
        elif isinstance(event, events.DetectorFailed):
            self._live.console.print(_plain(event), style="yellow")
        elif isinstance(event, events.RunFinished):
            self.close()


def _plain(event: Event) -> str:
    from vibro import events

    if isinstance(event, events.StageStarted):
        return f"{event.stage} ..."
    if isinstance(event, events.TaskFinished):
        return f"  {clean(event.task)}  {event.seconds:.1f} s"
    if isinstance(event, events.DetectorFailed):
        verb = "skipped" if event.phase == "excluded" else f"failed in {event.phase}"
        return f"  {clean(event.detector)} {verb}: {clean(event.error)}"
    return ""
