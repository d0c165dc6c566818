"""The tables of a run and of an explained record on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vibro.cli.console import clean, line, note, table, told
from vibro.report.messages import KNOW, remarks, translate
from vibro.report.texts import texts


def show_run(found: Mapping[str, Any], lang: str, run: object) -> None:
    """The result of a run on one screen: counts, machines, cases, detectors, what to look at; ``run``: its directory."""
    t = texts(lang)
    records, cuts = found["records"], found["thresholds"]["cuts"]
    line(t["p_data"].format(**{key: f"{records[key]:,}" for key in ("read", "accepted", "quarantined")}))
    levels = ", ".join(f"{t[level]} {count:,}" for level, count in found["levels"].items() if count)
    line(f"{t['axis_records']}: {levels}")
    levels = ", ".join(f"{t[level]} {count:,}" for level, count in found["machines"].items() if count)
    line(f"{t['h_machines']}: {levels}")
    if found["transients"]:
        taken = sum(event["records"] for event in found["transients"])
        line(f"{t['h_transients']}: {len(found['transients'])} ({taken} {t['records']})")
    line(f"{t['cuts']}: {t['attention']} {cuts['attention']:.3g}, {t['alarm']} {cuts['alarm']:.3g}")
    line()
    _show_cases(found, lang)
    line()
    _show_detectors(found["detectors"], lang)
    _show_idle(found, t)
    if found["metrics"]:
        fused = found["metrics"]["fused"]
        text = ", ".join(f"{t[key]} {fused[key]:.3f}" for key in _METRICS if fused.get(key) is not None)
        line(f"{t['h_labels']}: {text or '-'}")
        if found["persistence"]["on"]:
            persistent = found["metrics"]["persistent"]["average_precision"]
            line(
                f"{t['average_precision']}, {t['persistent']}: {'-' if persistent is None else format(persistent, '.3f')}"
            )
        show_alarms(found["metrics"]["alarms"], t)
    show_warnings([w.replace(" RUN --", f" {run} --") for w in found["warnings"]], lang)


def _show_cases(found: Mapping[str, Any], lang: str) -> None:
    """The most urgent cases; the highest records where none is in alarm."""
    t = texts(lang)
    cases = found["cases"]
    if cases["count"]:
        table(
            ("", t["machine"], t["level"], t["since"], t["until"], t["case_records"], t["score"], t["sensor"], t["looks_like"]),
            [
                (c["case"], _short(c["machine_id"]), t[c["level"]], _time(c["since"]), _time(c["until"]), c["records"],
                 f"{c['score']:.2f}", _some(c["sensors"], t), _looks_like(c["hypothesis"], lang))
                for c in cases["first"][:CASES]
            ],
            title=f"{t['h_cases']}: {cases['count']}",
        )  # fmt: skip
        return
    table(
        (t["record"], t["sensor"], t["time"], t["score"], t["level"]),
        [
            (r["record_id"], _short(r["sensor_id"]), _time(r["data_time"]), f"{r['score']:.2f}",
             t[r["level"]] + (f" ({t['reason_' + r['reason']]})" if r["reason"] else ""))
            for r in found["top"][:FEW]
        ],
        title=t["h_top"],
    )  # fmt: skip


def _show_detectors(detectors: Sequence[Mapping[str, Any]], lang: str) -> None:
    """Those that count, by weight, in one line; the others with the reason, those with the same one together."""
    t = texts(lang)
    used = sorted((d for d in detectors if d["weight"]), key=lambda d: -d["weight"])
    listed = ", ".join(f"{d['id']} {d['weight']:.2f}" for d in used)
    line(f"{t['used_of'].format(used=len(used), planned=len(detectors))}: {clean(listed)}")
    off: dict[tuple[str, str], list[str]] = {}
    for d in detectors:
        if d["status"] != "ok":
            off.setdefault((d["status"], d["reason"] or "-"), []).append(d["id"])
    for (status, reason), ids in off.items():
        line(f"  {clean(', '.join(ids))} {t[status]}: {clean(translate(reason, lang))}")


def _show_idle(found: Mapping[str, Any], t: Mapping[str, str]) -> None:
    """Detectors that count, and without which as many injected faults are caught."""
    injected = found["fault_injection"]
    used = [d["id"] for d in found["detectors"] if d["weight"]]
    if injected and (idle := [name for name in injected["adds_nothing"] if name in used]):
        line(t["adds_nothing"].format(n=len(idle), members=len(used), names=clean(", ".join(idle))))


def show_warnings(warnings: Sequence[str], lang: str) -> None:
    """What to look at and how far to trust the verdict, in this order; how it came about is only counted."""
    said = remarks(warnings, lang)
    t = texts(lang)
    for remark in said:
        if remark.group != KNOW:
            more = f" ({t['more_such'].format(n=remark.more)})" if remark.more else ""
            note(f"{t['warning']}: {clean(remark.text)}{more}")
    if count := sum(remark.group == KNOW for remark in said):
        note(t["more_remarks"].format(n=count))


def _some(names: Sequence[str], t: Mapping[str, str]) -> str:
    """Three names, and how many more there are."""
    more = f" {t['and_more'].format(n=len(names) - 3)}" if len(names) > 3 else ""
    return ", ".join(map(_short, names[:3])) + more


def _short(name: str) -> str:
    """A name that leaves room for the other columns; the tables of the run have it whole."""
    return name if len(name) <= WIDEST else f"{name[: WIDEST // 2 - 1]}…{name[-WIDEST // 2 :]}"


def show_alarms(found: Mapping[str, Any], word: Mapping[str, str]) -> None:
    """Precision and recall of the alarms, with the records of each label by level; rows fitted and left out apart."""
    for part in [name for name in ("train", "test") if found[name]] or ["all"]:
        judged = found[part]
        figures = [
            f"{word[key]} {'-' if judged[key] is None else format(judged[key], '.3f')}"
            for key in ("precision", "recall", "false_alarm_rate")
        ]
        rows = [
            (word[level], n["anomalous"], n["normal"])
            for level in ("alarm", "attention", "normal", "invalid", "indeterminate")
            if any((n := judged["confusion"][level]).values()) or level in ("alarm", "attention", "normal")
        ]
        title = f"{word['raised' if part == 'all' else f'raised_{part}']}: {', '.join(figures)}"
        table((word["level"], word["anomalous_labels"], word["normal_labels"]), rows, title=title)


def show_explanation(found: Mapping[str, Any], lang: str, attribution: Sequence[str]) -> None:
    """The answer of ``vibro explain``; ``attribution``: sentences on what makes the scores of detectors."""
    time = _time(found["data_time"]) or "no time"
    line(f"record {found['record_id']} of sensor {clean(found['sensor_id'])} at {time}")
    t = texts(lang)
    level = t[found["level"]] + (f" ({t['reason_' + found['reason']]})" if found["reason"] else "")
    followed = ("persistent_score",) if found["persistent_score"] != found["score"] else ()
    keys: tuple[str, ...] = ("score", *followed, "p_value", "agreement")
    line(", ".join([f"level {level}", *(f"{k} {_number(found[k])}" for k in keys)]))
    line()
    show_hypotheses(found)
    line()
    rows = [
        (d["id"], _number(d["z"]), _number(d["cut"]), _number(d["weight"]), told("yes" if d["exceeds"] else "no"))
        for d in found["detectors"]
    ]
    table(("detector", "z", "its cut", "weight", "over its cut"), rows)
    if bands := found.get("occlusion"):
        line()
        line(
            f"score {_number(bands['score'])}; {_number(bands['score_as_normal'])} if all were as in normal records; by band:"
        )
        shown = [
            (f"{b['low_hz']:.4g} to {b['high_hz']:.4g} Hz", _number(b["score"]), f"{-b['fall']:+.2f}")
            for b in sorted(bands["bands"], key=lambda b: -b["fall"])[:3]
        ]
        table(("band as in normal records", "score then", "change"), shown)
    if attribution:
        line()
    for text in attribution:
        line(clean(text))
    if found["features"]:
        line()
        from vibro.report.explain_page import label

        keys = ("value", "baseline_median", "z")
        table(
            ("feature", *keys), [(label(f["name"], t), *(_number(f[key]) for key in keys)) for f in found["features"]]
        )
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
        line(f"{told('no evidence for')}: {', '.join(map(told, rest))}")
    for text in (*found["not_judged"], *found["facts"]):
        line(clean(text))


def _looks_like(hypothesis: Mapping[str, Any] | None, lang: str) -> str:
    """A hypothesis in one cell of a table."""
    return (
        f"{translate(hypothesis['name'], lang)}, {texts(lang)['grade_' + hypothesis['grade']]}" if hypothesis else "-"
    )


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "-"


_METRICS = ("roc_auc", "average_precision", "recall_at_budget")
WIDEST = 40  # characters of a name in a table
CASES = 8  # on the screen
FEW = 5  # records, where no case is


def _time(value: object) -> str:
    from vibro.io.files import plain

    return str(plain(value) or "")


def show_finetuning(found: Mapping[str, Any]) -> None:
    """What a fine-tuning showed on held-out labels, and what was kept."""
    for text in found["warnings"]:
        note(f"warning: {clean(text)}")
    held_out = found["validation"]["held_out_by"]
    rows = [(told("teacher"), *_figures(found["teacher"]["average_precision"]), "", "")]
    kept = "kept" if found["kept"] == "student" else "kept for types"
    for student in found["students"]:
        gain = student["gain"]
        figures = (*_figures(student["average_precision"]), f"{gain['mean']:+.3f} +- {gain['sd']:.3f}")
        rows.append((told(f"student {student['taught']}"), *figures, told(kept) if student["kept"] else ""))
    table(
        ("", "average precision", "gain", ""),
        rows,
        title=f"on labels held out by {held_out}, {found['validation']['seeds']} seeds,"
        f" as if {found['validation']['share']:.0%} of the records were faulty",
    )
    for made in found["augmentation"]:
        line()
        shown = [
            (c["class"], c["labels"], c["taught"], f"{c['auc']:.2f}" if "auc" in c else "-", told(c["reason"]))
            for c in made["classes"]
        ]
        copied = made["way"] == "inject"
        title = "copies of labelled faults" if copied else "generated records of labelled faults"
        table(("class", "labels", "taught", "AUC", "why none"), shown, title=title)
        if made["note"]:
            line(f"generated records: {made['note']}")
        line(f"copies: {made['reason']}" if copied else f"generated records: {made['reason']}")
    if held_out := found["held_out"]:
        line()
        show_classes(held_out)
        line(f"macro F1 {held_out['macro_f1']:.3f}; always saying normal has {held_out['always_normal']:.3f}")
    what = "the student is kept" if found["kept"] == "student" else "the teacher stays"
    if found["kept"] == "teacher" and found["classifies"]:
        what += "; the student names the types of faults"
    line(f"{what}: {found['reason']}")
    line(f"model: {found['path']}")


def show_classes(judged: Mapping[str, Any]) -> None:
    """Precision, recall and the confusion matrix by class, ``as`` what the records were called."""
    names = judged.get("called", [row["class"] for row in judged["classes"]])
    table(
        ("class", "labels", "precision", "recall", *(f"as {name}" for name in names)),
        [
            (row["class"], row["records"], *_shares(row), *counts)
            for row, counts in zip(judged["classes"], judged["confusion"], strict=True)
        ],
    )


def _shares(row: Mapping[str, Any]) -> tuple[str, str]:
    """Precision and recall of a class, of which nothing is known without a record."""
    return (f"{row['precision']:.2f}", f"{row['recall']:.2f}") if row["records"] else ("-", "-")


def _figures(figure: Mapping[str, float]) -> tuple[str]:
    return (f"{figure['mean']:.3f} +- {figure['sd']:.3f}",)
