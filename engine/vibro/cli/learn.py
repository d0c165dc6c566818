"""``vibro pseudolabel | finetune | classify | suggest | pretrain``: classes from an unlabelled run, weights to start from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.options import AllowMissing, CsvBom, Data, Device, Force, MaxQuarantine, Out, Reading, Resume, Tables
from vibro.cli.session import Session
from vibro.words import counted

Run = Annotated[Path, typer.Argument(help="A run directory of vibro ensemble run.", show_default=False)]
OutFile = Annotated[Path, typer.Option("-o", "--out", help="Table to write: FILE.csv.", show_default=False)]
LabelsPartial = Annotated[bool, typer.Option("--labels-partial", help="Unmatched label rows are a warning.")]


def pseudolabel(
    session: Session,
    run: Run,
    out: OutFile,
    rule: Annotated[
        str, typer.Option("--rule", help="consensus; percentile, mad and pot judge by the fused score alone.")
    ] = "consensus",
    normal_share: Annotated[
        float, typer.Option("--normal-share", min=0, max=1, help="Weight of the detectors that must find it low.")
    ] = 0.8,
    anomaly_share: Annotated[
        float,
        typer.Option("--anomaly-share", min=0, max=1, help="Weight of the detectors whose own cut it must exceed."),
    ] = 0.4,
    persist: Annotated[
        int, typer.Option("--persist", min=1, help="Records of the sensor in a row that an anomaly must last.")
    ] = 3,
    max_per_sensor: Annotated[
        int | None,
        typer.Option("--max-per-sensor", min=1, help="Pseudo-labels of either class of a sensor; default: all."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Label table, to count how many pseudo-labels are right.")
    ] = None,
    labels_partial: LabelsPartial = False,
) -> None:
    """Names the records that the ensemble is sure of, judged by fits that had not seen them; of the others it says nothing."""
    from vibro.cli import console
    from vibro.runs.pseudolabel import write_pseudolabels
    from vibro.scoring.pseudolabels import Consensus

    consensus = Consensus(normal_share, anomaly_share, persist, max_per_sensor)
    found = write_pseudolabels(session.host(), run, out, rule, consensus, labels, labels_partial)
    if session.result(found):
        return
    names = ("normal", "anomalous", "abstained")
    rows = [(s["sensor_id"], s["records"], *(s[name] for name in names)) for s in found["sensors"]]
    rows.append((console.told("all"), found["records"], *(found[name] for name in names)))
    console.table(("sensor", "records", *names), rows)
    why = ", ".join(console.told(f"{n} {name}") for name, n in found["abstained_by_reason"].items())
    console.line(f"abstained: {why}" if why else "no record abstained")
    for name, share in found["raised_too_often"].items():
        console.line(f"{name}: {share:.0%} of its records are raised, too many to take others of it for normal")
    for name, judged in (found["truth"] or {}).items():
        console.line(
            f"pseudo-{name}: {judged['right']} of {judged['checked']} right ({_share(judged['precision'])}),"
            f" {_share(judged['coverage'])} of all {name} records"
        )
    console.line(f"pseudo-labels: {out}")


def finetune(
    session: Session,
    run: Run,
    labels: Annotated[Path, typer.Option("--labels", help="Label table to learn from.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Model folder: absent or empty.", show_default=False)],
    pseudolabels: Annotated[
        Path | None, typer.Option("--pseudolabels", help="Table of vibro pseudolabel; weighs less than labels.")
    ] = None,
    classifier: Annotated[str, typer.Option("--classifier", help="vibro plugins list --kind classifier")] = "logistic",
    augment: Annotated[
        str | None,
        typer.Option(
            "--augment",
            help="inject, generate or both (inject,generate): also learns from disturbed copies of rare faults, or from generated"
            " records of them, if they help.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=2, help="Rounds of pseudo-labels.")] = 1,
    seeds: Annotated[int, typer.Option("--seeds", min=2, help="Cross-validations that the decision rests on.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    device: Device = "auto",
    data: Annotated[
        Path | None, typer.Option("--data", help="Where the data of the run lie now, if they moved.")
    ] = None,
    labels_partial: LabelsPartial = False,
) -> None:
    """Learns from labels: a classifier, kept only if it beats the ensemble on labelled records that were held out."""
    from vibro.cli import console
    from vibro.cli.run_tables import show_finetuning
    from vibro.runs.finetune import finetune as run_finetune

    found = run_finetune(
        session.host(),
        run,
        labels,
        out,
        pseudolabels=pseudolabels,
        classifier={"use": classifier},
        augment=[way.strip() for way in (augment or "").split(",") if way.strip()],
        rounds=rounds,
        seeds=seeds,
        seed=seed,
        device=device,
        data=data,
        labels_partial=labels_partial,
        say=console.note,
    )
    if not session.result(found):
        show_finetuning(found)


def classify(
    session: Session,
    model: Annotated[Path, typer.Argument(help="A model of vibro finetune.", show_default=False)],
    data: Data,
    out: Out,
    reading: Reading,
    tables: Tables,
    error: Annotated[
        float,
        typer.Option("--error", min=0.001, max=0.5, help="Share of a class whose set of classes may lack it."),
    ] = 0.1,
    device: Device = "auto",
    max_quarantine: MaxQuarantine = 0.05,
    allow_missing: AllowMissing = False,
    resume: Resume = False,
    force: Force = False,
    csv_bom: CsvBom = False,
) -> None:
    """Names the class of each record, how sure that is, and the classes that cannot be ruled out; or that it is unknown."""
    from vibro.cli import console
    from vibro.cli.options import data_options
    from vibro.cli.progress import progress
    from vibro.runs.classify import classify_data
    from vibro.runs.options import RunOptions

    host = session.host()
    options = RunOptions(
        device=device,
        executor="serial",
        allow_missing=allow_missing,
        resume=resume,
        force=force,
        csv_bom=csv_bom,
        lang=session.lang,
        argv=("vibro", *sys.argv[1:]),
    )
    source = data_options(data, reading, tables, max_quarantine)
    with progress(host):
        found = classify_data(host, model, source, options, out, error)
    if session.result(found):
        return
    for text in found["warnings"]:
        console.note(f"warning: {console.clean(text)}")
    rows = [*found["classes"].items(), ("not classified", found["not_classified"])]
    console.table(("class", "records"), [(console.told(name), n) for name, n in rows])
    if judged := found["truth"]:
        from vibro.cli.run_tables import show_classes

        show_classes(judged)
        n = judged["other_types"]
        other = f"; {counted(n, 'faulty record is', 'faulty records are')} of no class" if n else ""
        console.line(f"macro F1 of the classes with labels: {_figure(judged['macro_f1'])}{other}")
    one = found["set_sizes"].get(1, 0)
    console.line(f"{counted(one, 'record')} with a set of one class at an error of {error:g}: {out / 'classes.csv'}")


def suggest(
    session: Session,
    run: Run,
    n: Annotated[int, typer.Option("--n", min=1, help="Records.")] = 20,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write a table to fill in: FILE.csv.")] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="Label table whose records need none.")] = None,
    labels_partial: LabelsPartial = False,
) -> None:
    """Names records that are worth a label: one per event, near the cut, where detectors differ, and normal ones."""
    from vibro.cli import console
    from vibro.report.texts import texts
    from vibro.runs.suggest import suggest_labels

    rows = suggest_labels(run, n, out, labels, labels_partial)
    if session.result({"path": out, "records": rows}):
        return
    t = texts(session.lang)
    shown = [
        (r["record_id"], r["sensor_id"], f"{r['score']:.2f}", t[r["level"]], console.told(r["reason"])) for r in rows
    ]
    console.table((t["record"], t["sensor"], "held-out score", t["level"], t["why"]), shown)
    console.line("held-out score: by fits that had not seen the record; scores.csv has that of the final model")
    console.line(f"to see one: vibro explain {run} RECORD -o record.html")
    if out is not None:
        console.line(
            f"fill in label (0 normal, 1 faulty) and fault_type of {out}, then:"
            f" vibro finetune {run} --labels {out} -o MODEL"
        )


def pretrain(
    session: Session,
    data: Data,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write: FILE.safetensors.", show_default=False)],
    reading: Reading,
    detector: Annotated[str, typer.Option("--detector", help="A detector that can be pre-trained.")] = "pretrained",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    device: Device = "auto",
) -> None:
    """Trains a network on unlabelled records of any machines, each DATA by itself; runs on few records start from it."""
    from vibro.cli import console
    from vibro.cli.progress import progress
    from vibro.context import resolve_device
    from vibro.runs.pretrain import pretrain as run_pretrain

    host, options = session.host(), reading.options(need_fs=False)
    with progress(host):
        found = run_pretrain(
            host, data, options, out, detector=detector, seed=seed, device=resolve_device(device), say=console.note
        )
    if session.result(found):
        return
    records = sum(item["records"] for item in found["data"])
    console.line(f"weights from {records} records of {len(found['data'])} DATA: {out}")
    console.line(f"to use them: vibro ensemble run DATA -o RUN --set {detector}.weights={out}")


def _figure(value: Any) -> str:
    return "none known" if value is None else f"{value:.3f}"


def _share(value: Any) -> str:
    return "none known" if value is None else f"{value:.1%}"


def add_to(app: typer.Typer) -> None:
    """Adds the commands at the top level."""
    command(app, "pseudolabel")(pseudolabel)
    command(app, "finetune")(finetune)
    command(app, "classify")(classify)
    command(app, "suggest")(suggest)
    command(app, "pretrain")(pretrain)
