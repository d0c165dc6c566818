"""What a benchmark found, in sentences: which ensemble, by how much, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vibro.benchmark.analysis import MARGIN, NO_SYSTEM, OF_MEMBERS
from vibro.benchmark.statistics import FEWEST, LEVEL
from vibro.report.page import count, number
from vibro.words import counted


def answer(found: Mapping[str, Any]) -> list[str]:
    """Which ensemble, by how much, and whether that is sure; from the content of ``benchmark.json``."""
    tests = judged(found)
    lead, means = tests["lead"], tests["mean"]
    if means.get(lead) is None:
        return ["no row could be evaluated, so there is nothing to compare"]
    paired = {p["against"]: p for p in tests["paired"] if p["diff"] is not None}
    systems = [name for name in paired if not name.endswith(NO_SYSTEM) and means[name] is not None]
    said = [_answer(tests, _best(systems, means))]
    for what, names in _kinds(found, systems).items():
        rival = _best(names, means)
        if rival is not None:
            said.append(f"{lead} against {what}, {rival}: {_difference(paired[rival], tests)}")
    return said


def basis(found: Mapping[str, Any]) -> list[str]:
    """What the answer rests on: where it does not hold, what labels gave, what each data set is."""
    lead = judged(found)["lead"]
    return [*_lost(found, lead), *_learned(found, lead), *_data(found)]


def judged(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tests over the blocks in which something is left to gain; over all blocks where there is none."""
    tests: Mapping[str, Any] = found["tests"]["open_blocks"]
    return tests if tests["paired"] else found["tests"]["all_blocks"]


def _best(names: Iterable[str], means: Mapping[str, float]) -> str | None:
    return max(names, key=lambda name: means[name], default=None)


def _answer(tests: Mapping[str, Any], rival: str | None) -> str:
    lead, means = tests["lead"], tests["mean"]
    sets = counted(tests["data_sets"], "data set")
    own = f"mean average precision {number(means[lead])} over {sets}"
    if rival is None:
        return f"{lead}: {own}; nothing was compared with it"
    other = next(p for p in tests["paired"] if p["against"] == rival)
    gap = abs(other["diff"])
    place = "ranks best" if other["diff"] > 0 else "does not rank best" if other["diff"] < 0 else "ranks level"
    side = "ahead of" if other["diff"] > 0 else "behind" if other["diff"] < 0 else "beside"
    return f"{lead} {place}: {own}, {gap:.3f} {side} {rival}; {sureness(other, tests)}"


def sureness(pair: Mapping[str, Any], tests: Mapping[str, Any]) -> str:
    """Whether a paired difference is more than noise, in words."""
    if pair["lo"] is None or pair["p"] is None:
        return "one draw, so nothing says whether that is noise"
    if tests["data_sets"] == 1:
        return "measured on one data set, which says nothing about other data"
    if tests["data_sets"] < FEWEST:
        return "too few data sets to be sure"
    return "that is more than noise" if pair["p"] < LEVEL and pair["lo"] * pair["hi"] > 0 else "that may be noise"


def _difference(pair: Mapping[str, Any], tests: Mapping[str, Any]) -> str:
    between = "" if pair["lo"] is None else f" (95 % interval {pair['lo']:+.3f} to {pair['hi']:+.3f})"
    return f"{pair['diff']:+.3f}{between}; {sureness(pair, tests)}"


def _kinds(found: Mapping[str, Any], systems: list[str]) -> dict[str, list[str]]:
    """The competitors by what they are."""
    baselines = {row["set"] for row in found["baselines"]} - set(OF_MEMBERS)
    plain = {name: name.rpartition(": ")[2] for name in systems}
    members = {d["id"] for spec in found["ensembles"].values() for d in spec["detectors"]}
    return {
        "the next ensemble": [name for name in systems if name in found["ensembles"]],
        "the best single detector": [n for n in systems if plain[n] in members and n not in found["ensembles"]],
        "the best simple measure": [name for name in systems if name in baselines],
    }


def _lost(found: Mapping[str, Any], lead: str) -> list[str]:
    """How often and where most a competitor is better."""
    blocks = found["tests"]["all_blocks"]["blocks"]
    if not found["losses"]:
        return [f"no competitor is better than {lead} by more than {MARGIN} in any of {blocks} blocks"]
    worst = max(found["losses"], key=lambda loss: loss["behind"][0]["average_precision"] - loss["average_precision"])
    first = worst["behind"][0]
    return [
        f"a competitor is better than {lead} by more than {MARGIN} in {len(found['losses'])} of {blocks} blocks, most on"
        f" {worst['data']}/{worst['pool']}: {first['name']} {first['average_precision']:.3f} against"
        f" {worst['average_precision']:.3f}"
    ]


def _learned(found: Mapping[str, Any], lead: str) -> list[str]:
    """What the most labels gave the leading ensemble."""
    rows = [row for row in found["learning"] if row["name"] == lead]
    if not rows:
        return []
    row = max(rows, key=lambda r: r["labelled_k"])
    gain = _difference({"diff": row["gain"], **{key: row[key] for key in ("lo", "hi", "p")}}, row)
    return [f"{lead} with {row['labelled_k']} labels per class against without: {gain}"]


def _data(found: Mapping[str, Any]) -> list[str]:
    """What each data set is."""
    return [
        f"data set {d['name']}: {count(d['records'])} records of {count(d['sensors'])} sensor{'' if d['sensors'] == 1 else 's'}"
        f" at {d['fs']:,g} Hz, {count(d['anomalous'])} anomalous"
        for d in found["data"]
    ]
