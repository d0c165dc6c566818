"""The sections of a benchmark's report: what each table and chart shows, made from ``benchmark.json``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vibro.benchmark.analysis import MARGIN, OF_MEMBERS
from vibro.benchmark.charts import accuracy_against_seconds, critical_difference, forest, learning_curve
from vibro.benchmark.conclusion import judged
from vibro.benchmark.statistics import FEWEST, LEVEL
from vibro.report.page import number
from vibro.report.svg import Svg
from vibro.words import counted

MOST = 40  # rows of a table of combinations
BEHIND = 3  # better rows named in a block
_FIGURE = re.compile(r"[-+0-9.,±…–e() \xa0]*")


@dataclass(frozen=True)
class Section:
    """A heading, a sentence, a table and a chart; the last two may be missing."""

    title: str
    note: str = ""
    headers: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    picture: Svg | None = None

    @property
    def ident(self) -> str:
        """Anchor of the section."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())

    @property
    def numeric(self) -> set[int]:
        """Columns of figures."""
        columns = enumerate(zip(*self.rows, strict=True))
        return {
            i for i, cells in columns if all(_FIGURE.fullmatch(c) for c in cells) and any(c.strip("–") for c in cells)
        }


def sections(found: Mapping[str, Any], lang: str = "en") -> list[Section]:
    """Every section that ``benchmark.json`` has something for; pictures speak the language."""
    losses = _losses(found)
    made = [
        _paired(found, lang),
        _ranks(found, lang),
        _learning(found, lang),
        _pareto(found, lang),
        _overall(found),
        _blocks(found),
        losses,
        _combinations(found),
        _leave_one_out(found),
        _shapley(found),
        _metrics(found),
        _classes(found),
        _sensors(found),
        _volume(found),
        _confound(found),
        _data(found),
    ]
    return [s for s in made if s.rows or s.picture or s is losses]


def shown(row: Mapping[str, Any]) -> str:
    """Suffix of a name that gives the number of shown labels; empty for none."""
    return f", {row['labelled_k']} labels per class" if row["labelled_k"] else ""


def _overall(found: Mapping[str, Any]) -> Section:
    tests = found["tests"]
    means = {label: tests[label]["mean"] for label in ("open_blocks", "all_blocks")}
    names = sorted(means["all_blocks"], key=lambda n: -(means["open_blocks"].get(n) or means["all_blocks"][n] or 0))
    rows = [(n, *(number(means[label].get(n)) for label in means)) for n in names]
    note = (
        f"Mean average precision over {_counts(tests['open_blocks'])} (data set x pool) in which the best member stays"
        f" below 0.99, and over all {_counts(tests['all_blocks'])}. The blocks of one data set share its records and count"
        " as one. best_member is chosen with the labels for each draw of each block: an oracle, no system."
    )
    return Section("Mean over the data sets", note, ("", "open blocks", "all blocks"), rows)


def _counts(tests: Mapping[str, Any]) -> str:
    return f"{counted(tests['data_sets'], 'data set')} in {counted(tests['blocks'], 'block')}"


def _blocks(found: Mapping[str, Any]) -> Section:
    """AP of the whole ensembles and of the baselines in every block."""
    cells: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    prior: dict[tuple[str, ...], str] = {}
    columns: dict[str, None] = {}
    several = len(found["ensembles"]) > 1
    for row in [*found["rows"], *found["baselines"]]:
        spec = found["ensembles"][row["ensemble"]]
        whole = row["set"] == "+".join(d["id"] for d in spec["detectors"]) and row["fuser"] == spec["fuser"]["use"]
        if row["n_detectors"] and not whole:
            continue
        name = row["ensemble"] if whole else row["set"]
        if not whole and row["set"] in OF_MEMBERS and len(spec["detectors"]) == 1:
            continue
        if not whole and several and row["set"] in OF_MEMBERS:
            name = f"{row['ensemble']}: {row['set']}"
        key = (row["data"], row["pool"], row["subset"], _labels(row))
        columns[name] = None
        prior[key] = f"{row['n']:.0f} ({row['n_anomalous']:.0f})"
        cells[key].setdefault(name, _spread(row, "average_precision"))
    names = sorted(columns, key=lambda n: n not in found["ensembles"])
    rows = [(*key, prior[key], *(cells[key].get(n, "–") for n in names)) for key in cells]
    headers = ("data", "pool", "evaluated on", "labels per class", "n (anomalous)", *names)
    return Section("Average precision by data set", "Mean and standard deviation over the seeds.", headers, rows)


def _spread(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return "–"
    sd = row[f"{name}_sd"]
    return f"{row[name]:.3f}" if sd is None else f"{row[name]:.3f}\u00a0±\u00a0{sd:.3f}"


def _interval(row: Mapping[str, Any]) -> str:
    return "–" if row["lo"] is None else f"{row['lo']:+.3f} … {row['hi']:+.3f}"


def _paired(found: Mapping[str, Any], lang: str) -> Section:
    tests = judged(found)
    rows = [
        (p["against"], f"{p['diff']:+.3f}", _interval(p), number(p["p"], 2))
        for p in sorted(tests["paired"], key=lambda p: p["diff"])
    ]
    interval = f"95 % interval of a paired bootstrap over {_counts(tests)} and their draws"
    if tests["data_sets"] == 1:
        interval = (
            "95 % interval of a paired bootstrap over the draws of one data set, which says nothing about other data;"
            " none where there is one draw or all draws are alike"
        )
    note = (
        f"Average precision of {tests['lead']} minus that of each other row; {interval}. Above 0: the ensemble is better. p is"
        " that of a sign-flip test over the same draws."
    ) + _few(tests)
    headers = ("against", "difference", "95 % interval", "p")
    return Section("Paired differences", note, headers, rows, forest(tests["paired"], tests["lead"], lang))


def _few(tests: Mapping[str, Any]) -> str:
    """A sentence for the end of a note where there are too few data sets to show a difference."""
    if tests["data_sets"] >= FEWEST:
        return ""
    return f" Fewer than {FEWEST} data sets cannot show a difference at {LEVEL:.0%}, whatever the interval."


def _losses(found: Mapping[str, Any]) -> Section:
    lead = found["tests"]["all_blocks"]["lead"]
    rows = []
    for loss in found["losses"]:
        first = [f"{b['name']} {b['average_precision']:.3f}" for b in loss["behind"][:BEHIND]]
        more = len(loss["behind"]) - len(first)
        behind = ", ".join(first) + (f" and {more} more" if more else "")
        where = (loss["data"], loss["pool"], loss["subset"])
        gap = loss["behind"][0]["average_precision"] - loss["average_precision"]
        rows.append((*where, f"{loss['average_precision']:.3f}", f"{gap:.3f}", behind))
    headers = ("data", "pool", "evaluated on", lead, "behind by", "better rows")
    blocks = found["tests"]["all_blocks"]["blocks"]
    note = (
        f"In {len(rows)} of {blocks} blocks a competitor that needs no labels has a mean average precision above that"
        f" of {lead} by more than {MARGIN}."
    )
    return Section(f"Where {lead} loses", note, headers, rows)


def _ranks(found: Mapping[str, Any], lang: str) -> Section:
    ranking = found["tests"]["open_blocks"]["friedman"] or found["tests"]["all_blocks"]["friedman"]
    if ranking is None:
        return Section("Ranks")
    note = (
        f"Friedman test over {ranking['blocks']} data sets: F = {number(ranking['statistic'])}, p = {number(ranking['p'], 2)}."
        f" Rows joined by a bar differ by less than Nemenyi's critical difference of"
        f" {number(ranking['critical_difference'])} in mean rank."
    )
    rows = [(r["name"], f"{r['rank']:.2f}") for r in ranking["ranks"]]
    return Section("Ranks", note, ("", "mean rank"), rows, critical_difference(ranking, lang))


def _learning(found: Mapping[str, Any], lang: str) -> Section:
    rows = [
        (_labels(r), r["name"], number(r["average_precision"]), f"{r['gain']:+.3f}", _interval(r), number(r["p"], 2))
        for r in found["learning"]
    ]
    note = (
        "Average precision with labels shown to the members that learn from them, and its difference from that without; the"
        " tables above are without. Shown records and their recordings are not evaluated, which alone changes the metrics a"
        " little: the rows of members that do not learn show by how much."
    ) + _few({"data_sets": max((r["data_sets"] for r in found["learning"]), default=0)})
    headers = ("labels per class", "", "mean AP", "difference", "95 % interval", "p")
    return Section(
        "Learning curve", note, headers, rows, learning_curve(found["learning"], tuple(found["ensembles"]), lang)
    )


def _labels(row: Mapping[str, Any]) -> str:
    return str(row["labelled_k"] or "")


def _combinations(found: Mapping[str, Any]) -> Section:
    rows = [(r["ensemble"], r["set"], r["fuser"], _labels(r), number(r["average_precision"])) for r in found["best"]]
    note = "The best combinations, mean over the data sets; they were selected with the labels, so they are optimistic."
    return Section("Combinations", note, ("ensemble", "set", "fuser", "labels per class", "mean AP"), rows)


def _leave_one_out(found: Mapping[str, Any]) -> Section:
    rows = [
        (r["ensemble"], r["fuser"], _labels(r), r["detector"], f"{r['gain']:+.3f}", _interval(r))
        for r in sorted(found["leave_one_out"], key=lambda r: (r["ensemble"], r["fuser"], r["labelled_k"], -r["gain"]))
    ]
    note = "Average precision of the whole ensemble minus that without the detector." + _few(
        found["tests"]["all_blocks"]
    )
    headers = ("ensemble", "fuser", "labels per class", "detector", "gain", "95 % interval")
    return Section("Leave one out", note, headers, rows)


def _shapley(found: Mapping[str, Any]) -> Section:
    rows = [
        (r["ensemble"], r["fuser"], _labels(r), r["detector"], f"{r['value']:+.3f}")
        for r in sorted(found["shapley"], key=lambda r: (r["ensemble"], r["fuser"], r["labelled_k"], -r["value"]))
    ]
    note = "Mean gain in average precision when the detector joins, over all orders of joining; they sum to the gain over chance."
    return Section("Shapley values", note, ("ensemble", "fuser", "labels per class", "detector", "value"), rows)


def _pareto(found: Mapping[str, Any], lang: str) -> Section:
    rows = [
        (r["ensemble"], r["set"], r["fuser"], _labels(r), number(r["seconds"]), number(r["average_precision"]))
        for r in found["pareto"]
    ]
    note = (
        "Sets that no cheaper set equals, selected with the labels. Mean seconds that their detectors take to fit and score a"
        " draw, without the views and with a fit for each fold where a detector is cross-fitted."
    )
    headers = ("ensemble", "set", "fuser", "labels per class", "seconds", "mean AP")
    front, best = ([r for r in found[name] if not r["labelled_k"]] for name in ("pareto", "best"))
    picture = accuracy_against_seconds(front, [r for r in best if r not in front], lang)
    return Section("Accuracy against seconds", note, headers, rows[:MOST], picture)


def _metrics(found: Mapping[str, Any]) -> Section:
    """Metrics of plugins for the whole ensembles."""
    names = ("data", "pool", "subset", "ensemble", "thresholder")
    rows = [
        (*(r[name] for name in names), _labels(r), *(number(r[name]) for name in found["metrics"]))
        for r in found["rows"]
        if any(r[name] is not None for name in found["metrics"])
    ]
    headers = ("data", "pool", "evaluated on", "ensemble", "thresholder", "labels per class", *found["metrics"])
    return Section("Metrics of plugins", "Whole ensembles under their own fuser; mean over the seeds.", headers, rows)


def _classes(found: Mapping[str, Any]) -> Section:
    names = ("data", "pool", "subset", "ensemble", "fault_type")
    rows = [
        (*(r[name] for name in names), _labels(r), *(number(r[name]) for name in ("n", "roc_auc", "recall_at_budget")))
        for r in sorted(found["per_class"], key=lambda r: (r["data"], r["pool"], r["ensemble"], r["roc_auc"] or 0))
    ]
    headers = (
        "data",
        "pool",
        "evaluated on",
        "ensemble",
        "fault",
        "labels per class",
        "n per draw",
        "ROC AUC",
        "recall at budget",
    )
    return Section("Fault classes", "Each class against all normal records; mean over the seeds.", headers, rows)


def _sensors(found: Mapping[str, Any]) -> Section:
    names = ("data", "pool", "subset", "ensemble", "sensor_id")
    ranked = sorted((r for r in found["per_sensor"] if r["roc_auc"] is not None), key=lambda r: r["roc_auc"])
    rows = [
        (
            *(r[name] for name in names),
            _labels(r),
            *(number(r[name]) for name in ("n", "n_anomalous", "roc_auc", "recall_at_budget")),
        )
        for r in ranked[:MOST]
    ]
    note = (
        f"The records of each sensor among themselves, mean over the seeds; the {len(rows)} lowest of {len(ranked)} that"
        " have both classes."
    )
    figures = ("n", "anomalous", "ROC AUC", "recall at budget")
    headers = ("data", "pool", "evaluated on", "ensemble", "sensor", "labels per class", *figures)
    return Section("Sensors", note, headers, rows)


def _volume(found: Mapping[str, Any]) -> Section:
    rows = [
        (r["data"], r["pool"], r["subset"], r["ensemble"], _labels(r), number(r["vus_roc"]), number(r["vus_pr"]))
        for r in found.get("volume", [])
    ]
    note = (
        "Windows of long series in order of time, without those that are partly anomalous; a score may come a little early or"
        " late (Paparrizos et al., 2022)."
    )
    headers = ("data", "pool", "evaluated on", "ensemble", "labels per class", "VUS-ROC", "VUS-PR")
    return Section("Volume under the surface", note, headers, rows)


def _confound(found: Mapping[str, Any]) -> Section:
    names = (
        "machine_from_score_auc",
        "sensor_from_score_auc",
        "recording_from_score_auc",
        "machine_seen_auc",
        "level_auc",
    )
    rows = [
        (r["data"], r["pool"], r["subset"], r["ensemble"], _labels(r), *(number(r[n]) for n in names))
        for r in found["confound"]["rows"]
    ]
    note = (
        "Normal records only: 0.5 = the score does not tell machines, sensors or recordings apart, nor whether a machine was"
        " seen in fitting. Last column: ROC AUC of the RMS level."
    )
    figures = ("machine", "sensor", "recording", "machine seen", "level")
    headers = ("data", "pool", "evaluated on", "ensemble", "labels per class", *figures)
    return Section("Confound panel", note, headers, rows)


def _data(found: Mapping[str, Any]) -> Section:
    def whole(d: Mapping[str, Any]) -> Sequence[str]:
        return [str(d[n]) for n in ("records", "normal", "anomalous", "machines", "sensors", "length")]

    rows = [(d["name"], *whole(d), number(d["fs"]), d["fingerprint"][:12]) for d in found["data"]]
    headers = ("data", "records", "normal", "anomalous", "machines", "sensors", "samples", "Hz", "fingerprint")
    note = " ".join(f"Split: {split}." for split in found["splits"])
    return Section("Data", note, headers, rows)
