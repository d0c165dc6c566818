"""``vibro plugins list | info | enable | disable | new | check``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.session import Session

if TYPE_CHECKING:
    from vibro.api import Component
    from vibro.host.manager import PluginHost

app = typer.Typer(no_args_is_help=True)
Files = Annotated[list[Path] | None, typer.Option("--plugin", help="A local plugin file.")]
KINDS = ("reader", "feature", "detector", "fuser", "thresholder", "classifier", "metric")


@command(app, "list")
def show_list(
    session: Session,
    kind: Annotated[str | None, typer.Option("--kind", help=f"Only one of: {', '.join(KINDS)}.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also plugins that are off or shadowed.")] = False,
    plugin: Files = None,
) -> None:
    """One line per component: where it comes from and whether it can be used."""
    from vibro.cli import console
    from vibro.cli.catalogue import rows, view_text

    _check_kind(kind)
    found = [
        row
        for row in rows(session.host(plugin or ()))
        if (kind is None or row.kind == kind) and (everything or row.state in ("on", "broken"))
    ]
    if session.result([asdict(row) for row in found]):
        return
    table = [
        (
            row.kind or "-",
            row.name or "-",
            row.plugin,
            f"{row.origin} {row.version}".strip(),
            f"{row.state}: {row.reason}" if row.reason else row.state,
            view_text(row.view),
            row.summary,
        )
        for row in found
    ]
    console.table(("kind", "name", "plugin", "origin", "state", "view", "summary"), table)


@command(app, "info")
def info(
    session: Session,
    name: Annotated[str, typer.Argument(help="A component, kind:component, or a plugin.", show_default=False)],
    plugin: Files = None,
) -> None:
    """What a component does, what it needs, and its parameters with defaults, bounds and meaning."""
    from vibro.cli import console

    host = session.host(plugin or ())
    tables = [_facts(host, cls) for cls in _find(host, name)]
    if session.result(tables[0] if len(tables) == 1 else {"plugin": name, "components": tables}):
        return
    for i, table in enumerate(tables):
        if i:
            console.line()
        _show_facts(table)


@command(app, "enable")
def enable(session: Session, name: Annotated[str, typer.Argument(show_default=False)]) -> None:
    """Switches a plugin on, in the registry overlay."""
    _switch(session, name, True)


@command(app, "disable")
def disable(session: Session, name: Annotated[str, typer.Argument(show_default=False)]) -> None:
    """Switches a plugin off, in the registry overlay."""
    _switch(session, name, False)


def _switch(session: Session, name: str, enabled: bool) -> None:
    from vibro.cli import console
    from vibro.errors import UnknownComponentError
    from vibro.host.overlay import set_enabled
    from vibro.host.registry import find_base
    from vibro.io.paths import find_overlay, user_registry

    host = session.host()
    if name not in host.plugins:
        owners = sorted(
            {i.name for i in host.plugins.values() for item in i.provides if item.partition(":")[2] == name}
        )
        hint = f"{name} is a component of plugin {owners[0]}" if owners else "vibro plugins list --all"
        raise UnknownComponentError(f"no plugin named {name!r}", hint=hint)
    path = find_overlay(session.registry, find_base()) or user_registry()
    set_enabled(path, name, enabled)
    if not session.result({"path": path, "name": name, "enabled": enabled}):
        console.verbatim(f"{path}: [plugins.{name}] enabled = {str(enabled).lower()}")


def _check_kind(kind: str | None) -> None:
    from vibro.errors import ConfigError

    if kind is not None and kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r} (known: {', '.join(KINDS)})")


def _find(host: PluginHost, name: str) -> list[type[Component]]:
    """The component of that name, or all of the plugin of that name."""
    from difflib import get_close_matches

    from vibro.errors import ConfigError, UnknownComponentError

    kind, _, rest = name.rpartition(":")
    if kind:
        _check_kind(kind)
        return [host.component(kind, rest)]
    kinds = [k for k in KINDS if name in host.names(k)]
    if len(kinds) > 1 and name not in host.plugins:
        raise ConfigError(f"{name!r} is the name of a {' and of a '.join(kinds)}", hint=f"write {kinds[0]}:{name}")
    if len(kinds) == 1:
        return [host.component(kinds[0], name)]
    if name in host.plugins:
        return host.load(name)
    known = sorted({*host.plugins, *(n for k in KINDS for n in host.names(k))})
    near = get_close_matches(name, known, 1)
    raise UnknownComponentError(
        f"no component or plugin named {name!r}", hint=f"did you mean {near[0]}?" if near else "vibro plugins list"
    )


def _facts(host: PluginHost, cls: type[Component]) -> dict[str, Any]:
    """Everything ``info`` says of a component."""
    import inspect

    from vibro.cli.catalogue import one_line
    from vibro.cli.parameters import describe_parameters

    owner = host.owner(cls.kind, cls.name)
    return {
        "kind": cls.kind,
        "name": cls.name,
        "summary": one_line(cls),
        "doc": inspect.cleandoc(cls.__doc__ or ""),
        "plugin": owner.name,
        "origin": owner.origin,
        "distribution": owner.distribution,
        "version": owner.version,
        "trusted": owner.trusted,
        "view": getattr(cls, "view", None),
        "item": getattr(cls, "item", None),
        "requires": list(cls.requires),
        "needs_labels": getattr(cls, "needs_labels", False),
        "parameters": describe_parameters(cls.Params),
        "path": getattr(cls, "path", None) or inspect.getsourcefile(cls),
    }


def _show_facts(table: dict[str, Any]) -> None:
    from vibro.cli import console
    from vibro.cli.catalogue import view_text

    console.line(f"{table['kind']} {table['name']}: {table['summary']}")
    origin = " ".join(part for part in (table["distribution"] or table["origin"], table["version"]) if part)
    shown = {
        "plugin": f"{table['plugin']} ({origin})",
        "view": view_text(table["view"]),
        "item": table["item"],
        "requires": ", ".join(table["requires"]),
        "labels": "needed" if table["needs_labels"] else "",
        "source": table["path"],
    }
    for key, value in shown.items():
        if value:
            console.verbatim(f"  {key}: {console.clean(value)}")
    if table["doc"] and table["doc"] != table["summary"]:
        console.line()
        console.verbatim("\n".join(f"  {text}".rstrip() for text in table["doc"].splitlines()))
    console.line()
    rows = [(p["name"], p["type"], p["default"], p["bounds"], p["doc"]) for p in table["parameters"]]
    if rows:
        console.table(("parameter", "type", "default", "bounds", "meaning"), rows)
    else:
        console.line("  no parameters")


@command(app, "new")
def new(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the package, such as vibro-envelope.", show_default=False)],
    kind: Annotated[str, typer.Option("--kind", help=f"One of: {', '.join(KINDS)}.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder in which the package is made.")] = Path(),
) -> None:
    """Writes a package with one working component, its tests and a README."""
    from vibro.cli import console
    from vibro.cli.new_plugin import component_name, write_package
    from vibro.errors import ConfigError

    _check_kind(kind)
    component, host = component_name(name), session.host()
    if component in host.plugins or component in host.names(kind):
        raise ConfigError(f"the name {component!r} is taken", hint=f"vibro plugins info {component}")
    folder, files = write_package(name, kind, out)
    if session.result({"path": folder, "files": files}):
        return
    for file in files:
        console.verbatim(str(folder / file))
    console.line(f"next: pip install -e '{folder}[test]'")
    console.line(f"then: vibro plugins check {component}")


@command(app, "check")
def check(
    session: Session,
    name: Annotated[str, typer.Argument(help="A plugin, a component, or a plugin file.", show_default=False)],
    quick: Annotated[bool, typer.Option("--quick", help="Without the checks that start another process.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the test data and of the component.")] = 0,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds after which it is given up.")] = 600.0,
) -> None:
    """Runs the conformance kit on a plugin, in another process; exit 1 if a check fails or is stale."""
    from vibro.cli import console
    from vibro.testing.plugin import check_in_child

    report = check_in_child(name, host=session.host(), quick=quick, seed=seed, seconds=timeout)
    outcomes = [outcome for component in report["components"] for outcome in component["checks"]]
    wrong = [outcome for outcome in outcomes if outcome["status"] in ("failed", "stale")]
    if not session.result(report):
        for component in report["components"]:
            rows = [
                (c["name"], c["status"], f"{c['seconds']:.1f}", c["detail"] or c["clause"]) for c in component["checks"]
            ]
            title = f"{component['kind']} {component['name']}, plugin {report['plugin']} {report['version']}".rstrip()
            console.table(("check", "status", "seconds", "clause or finding"), rows, title=title)
            console.line()
        for outcome in wrong:
            console.verbatim(f"{outcome['name']}: {outcome['clause']}")
            for key in ("detail", "input"):
                if outcome[key]:
                    console.verbatim(f"  {key}: {console.clean(outcome[key])}")
            for text in outcome["reproduce"].splitlines():
                console.verbatim(f"  {text}")
        console.line(f"{len(outcomes)} checks, {len(wrong)} failed")
    if wrong:
        raise typer.Exit(1)
