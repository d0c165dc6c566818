"""``vibro benchmark run`` and ``vibro benchmark compare``."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.options import (
    CsvBom,
    Device,
    ExecutorName,
    Force,
    MaxQuarantine,
    Memory,
    Reading,
    Resume,
    Tables,
    data_options,
    memory_bytes,
    stated_options,
)
from vibro.cli.session import Session

app = typer.Typer(no_args_is_help=True)

ROOT = "VIBRO_TEST_DATA"


@command(app, "run")
def run(
    session: Session,
    data: Annotated[list[Path], typer.Argument(help="A suite (.toml), or files and folders.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Directory of the results.", show_default=False)],
    reading: Reading,
    tables: Tables,
    ensemble: Annotated[str | None, typer.Option("--ensemble", help="Named ensemble; several by commas.")] = None,
    detectors: Annotated[str | None, typer.Option("--detectors", help="Only these detectors, by commas.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="DETECTOR.PARAMETER=VALUE")] = None,
    combinations: Annotated[str | None, typer.Option("--combinations", help="all, pairs or up to N.")] = None,
    fusers: Annotated[
        str | None, typer.Option("--fusers", help="Fusers tried on every set of detectors, by commas.")
    ] = None,
    thresholders: Annotated[
        str | None, typer.Option("--thresholders", help="Thresholders tried on every set of detectors.")
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Fits with seeds 0..K-1.")] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="machine, recording, time, record (leaks) or none (evaluated on the fit rows)."),
    ] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="pool or normals.")] = None,
    labelled_k: Annotated[
        str | None, typer.Option("--labelled-k", help="Labels per class for detectors that learn from them: 5,20.")
    ] = None,
    contamination: Annotated[
        float | None, typer.Option("--contamination", min=0, max=1, help="Share of anomalies among the fit rows.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="False-alarm rate at which recall and cuts are evaluated.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option("--data-root", help=f"Recordings of a suite; default ${ROOT}.")
    ] = None,
    plugin: Annotated[list[Path] | None, typer.Option("--plugin", help="A local plugin file.")] = None,
    device: Device = "cpu",
    executor: ExecutorName = "serial",
    memory: Memory = None,
    max_quarantine: MaxQuarantine = 0.05,
    resume: Resume = False,
    force: Force = False,
    csv_bom: CsvBom = False,
) -> None:
    """Fits every detector once per seed and evaluates every combination against labels."""
    from vibro.api import check_settings
    from vibro.benchmark.suite import PoolEntry, Suite, read_suite
    from vibro.cli.progress import progress
    from vibro.errors import ConfigError
    from vibro.runs.benchmark import BenchmarkOptions, run_benchmark, suite_of_data
    from vibro.runs.options import MAX_QUARANTINE, RunOptions

    is_suite = len(data) == 1 and data[0].suffix == ".toml"
    source = data_options(data, reading, tables, max_quarantine)
    idle = [*stated_options(reading), *stated_options(tables)]
    idle += ["--max-quarantine"] if max_quarantine != MAX_QUARANTINE else []
    if is_suite and idle:
        raise ConfigError(
            f"a suite names its own data: {', '.join(idle)} would have no effect",
            hint="leave it out, or edit the suite",
        )
    if not is_suite and tables.labels is None:
        raise ConfigError("a benchmark needs labels", hint="--labels FILE, or a suite file (.toml)")
    if not is_suite and data_root is not None:
        raise ConfigError("--data-root is for the data sets of a suite", hint="leave it out")
    suite = read_suite(data[0]) if is_suite else suite_of_data(data, Suite("data"))
    given: dict[str, Any] = {
        "ensembles": _names(ensemble),
        "combinations": combinations,
        "fusers": _names(fusers),
        "thresholders": _names(thresholders),
        "seeds": seeds,
        "split": split,
        "protocol": protocol,
        "labelled_k": _numbers(labelled_k),
        "budget": budget,
    }
    if contamination is not None:
        given["pools"] = (PoolEntry(f"c{100 * contamination:g}", contamination),)
    own = {f.name: getattr(suite, f.name) for f in fields(suite)}
    stated = {name: value for name, value in given.items() if value is not None}
    suite = check_settings(Suite, own | stated, "benchmark")
    root = data_root or (Path(os.environ[ROOT]) if os.environ.get(ROOT) else None)
    options = RunOptions(
        detectors=_names(detectors),
        sets=tuple(set_ or ()),
        device=device,
        executor=executor,
        memory=memory_bytes(memory),
        resume=resume,
        force=force,
        csv_bom=csv_bom,
        lang=session.lang,
        argv=("vibro", *sys.argv[1:]),
    )
    host = session.host([*(plugin or ()), *(Path(name) for name in suite.plugins)])
    with progress(host):
        what = (
            BenchmarkOptions(suite, root=root, beside=data[0].parent) if is_suite else BenchmarkOptions(suite, source)
        )
        found = run_benchmark(host, what, options, out)
    if not session.result(found):
        _tables(found, out)


@command(app, "compare")
def compare_(
    session: Session,
    a: Annotated[Path, typer.Argument(help="A benchmark or run: the old one.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="A benchmark or run: the new one.", show_default=False)],
    fail_on_worse: Annotated[
        str | None, typer.Option("--fail-on-worse", help="METRIC:DELTA: exit 1 if b is worse by more, beyond noise.")
    ] = None,
) -> None:
    """Says what got better or worse from A to B, and whether it is more than noise."""
    from vibro.benchmark.regression import Limit, compare
    from vibro.cli import console

    limit = Limit.parse(fail_on_worse) if fail_on_worse else None
    found = compare(a, b)
    worse = limit.violations(found) if limit else []
    if not session.result(found):
        rows = [r for r in found["rows"] if r["metric"] in ("roc_auc", "average_precision", "f1")]
        rows.sort(key=lambda r: -1.0 if r["diff"] is None else r["diff"])
        shown = rows if len(rows) <= 40 else [*rows[:20], *rows[-20:]]
        console.table(
            ("set", "fuser", "labels per class", "metric", "A", "B", "B - A", "95 % interval", "p"),
            [(r["set"], r.get("fuser", ""), str(r.get("labelled_k") or ""), r["metric"], *_figures(r)) for r in shown],
        )
        changes = found["verdict_changes"]
        if changes:
            console.line(f"{len(changes)} verdicts changed")
            console.table(
                ("record", "A", "B", "why"),
                [(c["record_id"], c["level_a"], c["level_b"], c["why"]) for c in changes[:20]],
            )
        for text in found["warnings"]:
            console.note(f"warning: {text}")
        for row in worse:
            lost = f"{row['lost']} draws are missing in B" if row["lost"] else f"{row['diff']:+.4f}"
            console.line(f"worse: {row['set']} {row['metric']} {lost}")
    if worse:
        raise typer.Exit(1)


def _figures(row: dict[str, Any]) -> tuple[str, ...]:
    interval = "" if row["lo"] is None else f"{row['lo']:+.3f} … {row['hi']:+.3f}"
    p = "" if row["p"] is None else f"{row['p']:.2g}"
    if row["diff"] is None:
        return "", "missing", "", "", ""
    return f"{row['a']:.3f}", f"{row['b']:.3f}", f"{row['diff']:+.3f}", interval, p


def _tables(found: dict[str, Any], out: Path) -> None:
    """Conclusion and the tables it rests on, on stdout."""
    from vibro.benchmark.conclusion import answer, basis
    from vibro.benchmark.report import failures, head
    from vibro.benchmark.tables import sections
    from vibro.cli import console

    for line in (*answer(found), *basis(found), *head(found)):
        console.line(line)
    for section in sections(found):
        if section.ident in ("mean-over-the-data-sets", "average-precision-by-data-set", "paired-differences"):
            console.line()
            console.table(section.headers, section.rows, title=section.title)
    for text in [*found["warnings"], *found["confound"]["warnings"]]:
        console.note(f"warning: {text}")
    for text in failures(found):
        console.note(f"warning: {text}")
    console.line(f"report: {out / 'report.html'}")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _numbers(text: str | None) -> tuple[int, ...] | None:
    from vibro.errors import ConfigError

    try:
        return None if text is None else tuple(int(part) for part in _names(text) or ())
    except ValueError:
        raise ConfigError(
            f"--labelled-k {text!r} should be whole numbers by commas", hint="--labelled-k 5,20"
        ) from None
