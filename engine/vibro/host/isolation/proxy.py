"""Stand-ins: component classes that look like a plugin's own and work through its process."""

from __future__ import annotations

import copyreg
import dataclasses
import secrets
import weakref
from abc import ABCMeta
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial, partialmethod
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Literal, Union, cast

import numpy as np
from numpy.typing import NDArray

from vibro.api import KINDS, Component, Exported, Extent, Params, State, ViewKey, settings_of, view_key
from vibro.context import Context
from vibro.errors import NotApplicableError, NotFittedError
from vibro.hookspecs import hookimpl
from vibro.host.isolation.limits import Limits
from vibro.host.isolation.worker import Worker

_PLAIN = (
    *(
        "item",
        "takes",
        "needs_labels",
        "wants_disturbed",
        "exclusive",
        "cross_fit",
        "own_held_out",
        "robust",
        "min_rows",
    ),
    "wants_trial",
    "higher_is_better",
)


@dataclasses.dataclass(frozen=True)
class Source:
    """A plugin's process and the description of its components, as the process gave it."""

    plugin: str
    module: str
    file: Path | None
    limits: Limits
    descriptions: tuple[Mapping[str, Any], ...]


class _Meta(ABCMeta):
    """The class of stand-in classes, so that they can be sent to worker processes as their ``Source`` and name."""

    source: Source
    worker: Worker


def stand_ins(source: Source) -> list[type[Component]]:
    """One class for every component of an isolated plugin; they share its process."""
    worker = Worker(source.plugin, source.module, source.file, source.limits)
    return [_class(source, worker, description) for description in source.descriptions]


def hooks(classes: Sequence[type[Component]]) -> SimpleNamespace:
    """An object with the hook implementations that register these classes, to be loaded in place of the module."""
    found = {f"register_{kind}s": _registering([cls for cls in classes if cls.kind == kind]) for kind in KINDS}
    return SimpleNamespace(**found)


def _registering(classes: Sequence[type[Component]]) -> Any:
    @hookimpl
    def hook(register: Any) -> None:
        for cls in classes:
            register(cls)

    return hook


class Remote:
    """What all stand-ins share: settings and state here, work in the plugin's process."""

    source: ClassVar[Source]
    worker: ClassVar[Worker]
    kind: ClassVar[str]
    name: ClassVar[str]

    def __init__(self, params: Any, ctx: Context) -> None:
        self.params = params
        self.ctx = ctx
        self._token = secrets.token_hex(8)
        self._generation = -1
        self._facts: dict[str, Any] = {}
        weakref.finalize(self, self.worker.forgotten.append, self._token)

    def _call(self, method: str, *args: Any) -> Any:
        """The value of a method called in the process; state and health come back with it."""
        worker = self.worker
        known = self._generation == worker.ready()
        request = {
            **_request(type(self), method, args, self.params, self.ctx),
            "token": self._token,
            "state": None if known or method == "fit" else self._facts.get("state"),
            "forget": [worker.forgotten.pop() for _ in range(len(worker.forgotten))],
        }
        answer = worker.ask(request, f"{method} of {self.name}", self.ctx.progress)
        self._generation = worker.generation
        self._facts = dict(answer["facts"])
        return answer["value"]

    def state(self) -> State:
        """What the process learned."""
        if "state" not in self._facts:
            raise NotFittedError(f"{self.kind} {self.name} was used before fit")
        return dict(self._facts["state"])

    def load_state(self, state: State) -> None:
        """Hands the state over with the next call."""
        self._facts = {"state": {name: np.asarray(array) for name, array in state.items()}}
        self._token, self._generation = secrets.token_hex(8), -1

    def export(self) -> Exported:
        """Its functions lie in another process, whose code is never run in this one."""
        raise NotApplicableError(
            f"{self.name} runs in a process of its own, as third-party plugins do, and stays there"
        )


class RemoteFeature(Remote):
    """A feature extractor in another process."""

    @classmethod
    def inputs(cls, params: Any) -> tuple[str | ViewKey, ...]:
        """The views it is made from."""
        answer = cls.worker.ask(_request(cls, "inputs", (), params, Context()), f"inputs of {cls.name}")
        return tuple(view if isinstance(view, str) else view_key(view) for view in answer["value"])

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Fits there."""
        self._call("fit", dict(inputs))

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Transforms there."""
        return cast(NDArray[np.float32], self._call("transform", dict(inputs)))

    def extent(self, inputs: Mapping[str, Extent]) -> Extent | None:
        """What it says there of the places of its values."""
        return cast("Extent | None", self._call("extent", dict(inputs)))

    def state(self) -> State:
        """An extractor that was never fitted has nothing to keep."""
        return dict(self._facts.get("state", {}))

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """The mask over the last axis."""
        return cast("NDArray[np.bool_] | None", self._facts.get("kept"))


class RemoteDetector(Remote):
    """A detector in another process."""

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Fits there."""
        self._token, self._generation = secrets.token_hex(8), -1
        self._call("fit", x, y) if y is not None else self._call("fit", x)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores there."""
        return cast(NDArray[np.float64], self._call("score", x))

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """What it says there of the values."""
        return cast("NDArray[np.float64] | None", self._call("attribution", x))

    def health(self) -> Mapping[str, float]:
        """What the fit said of itself."""
        return dict(self._facts.get("health") or {})


class RemoteFuser(Remote):
    """A fuser in another process."""

    def fit(self, z: Any, y: Any = None, usefulness: Any = None) -> None:
        """Fits there."""
        self._call("fit", z, y, usefulness)

    def fuse(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fuses there."""
        return cast(NDArray[np.float64], self._call("fuse", z))

    def weights(self) -> NDArray[np.float64] | None:
        """The weights after the last call."""
        return cast("NDArray[np.float64] | None", self._facts.get("weights"))

    def notes(self) -> Sequence[str]:
        """The sentences after the last call."""
        return tuple(self._facts.get("notes") or ())


class RemoteThresholder(Remote):
    """A thresholder in another process."""

    def cut(self, scores: NDArray[np.float64], budget: float, y: Any = None) -> float:
        """Cuts there."""
        return cast(float, self._call("cut", scores, float(budget), y))

    def details(self) -> Mapping[str, Any]:
        """What the last cut said."""
        return dict(self._facts.get("details") or {})


class RemoteReader(Remote):
    """A reader in another process."""

    @classmethod
    def accepts(cls, path: Path, head: bytes) -> bool:
        """By the extension: asking the process for every file would cost too much."""
        return path.name.lower().endswith(cls.extensions)  # type: ignore[attr-defined,no-any-return]

    def read(self, path: Path) -> Iterator[Any]:
        """Reads there; the items of a file come back together."""
        yield from self._call("read", path.resolve())


class RemoteClassifier(Remote):
    """A classifier in another process."""

    def fit(self, x: Any, y: Any, weight: Any) -> None:
        """Fits there."""
        self._token, self._generation = secrets.token_hex(8), -1
        self._call("fit", x, y, weight)

    def predict_proba(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Predicts there."""
        return cast(NDArray[np.float64], self._call("predict_proba", x))


class RemoteMetric(Remote):
    """A metric in another process."""

    def compute(self, y: Any, score: Any, flag: Any) -> float:
        """Computes there."""
        return cast(float, self._call("compute", y, score, flag))


_REMOTES: dict[str, type[Remote]] = {
    "feature": RemoteFeature,
    "detector": RemoteDetector,
    "fuser": RemoteFuser,
    "thresholder": RemoteThresholder,
    "reader": RemoteReader,
    "classifier": RemoteClassifier,
    "metric": RemoteMetric,
}


def _request(cls: Any, method: str, args: tuple[Any, ...], params: Any, ctx: Context) -> dict[str, Any]:
    disturbed = ctx.disturbed if method == "fit" else None
    return {
        "kind": cls.kind,
        "name": cls.name,
        "method": method,
        "args": list(args),
        "settings": settings_of(params),
        "ctx": {
            "seed": ctx.seed,
            "device": ctx.device,
            "fs": ctx.fs,
            "names": list(ctx.names),
            "groups": ctx.groups,
            "disturbed": None if disturbed is None else {"x": disturbed.x, "row": disturbed.row},
        },
        "token": "",
        "state": None,
        "forget": [],
    }


def _class(source: Source, worker: Worker, description: Mapping[str, Any]) -> type[Component]:
    """The stand-in for one component."""
    remote, base = _REMOTES[description["kind"]], KINDS[description["kind"]]
    values = {key: description[key] for key in _PLAIN if key in description}
    if "view" in description:
        values["view"] = description["view"]
    if description["kind"] == "reader":
        values["extensions"] = tuple(description["extensions"])
    body = {
        **values,
        "__doc__": description["doc"],
        "__module__": __name__,
        "name": description["name"],
        "summary": description["summary"],
        "requires": (),  # its own process has them
        "deterministic": description["deterministic"],
        "api": description["api"],
        "Params": params_of(description["schema"]),
        "path": description["path"],
        "source": source,
        "worker": worker,
    }
    return cast(type[Component], _Meta(f"Isolated{description['name'].title()}", (remote, base), body))


def params_of(schema: Mapping[str, Any]) -> type[Params]:
    """A frozen ``Params`` with the names, types, bounds and defaults of a JSON schema."""
    definitions = schema.get("$defs", {})
    columns = []
    for name, table in schema.get("properties", {}).items():
        default = table.get("default")
        kind = _annotation(table, definitions)
        if isinstance(default, list | dict):
            columns.append((name, kind, dataclasses.field(default_factory=partial(deepcopy, default))))
        else:
            columns.append((name, kind, dataclasses.field(default=default)))
    made = dataclasses.make_dataclass(
        "Params", columns, bases=(Params,), frozen=True, namespace={"__reduce__": partialmethod(_reduce_params, schema)}
    )
    made.__doc__ = schema.get("description")
    return made


def _reduce_params(params: Any, schema: Mapping[str, Any]) -> tuple[Any, ...]:
    """Settings of a class that no module holds go to worker processes as its schema and their values."""
    return _params_again, (schema, {field.name: getattr(params, field.name) for field in dataclasses.fields(params)})


def _params_again(schema: Mapping[str, Any], values: Mapping[str, Any]) -> Params:
    """The settings in another process."""
    return params_of(schema)(**values)


def _annotation(table: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """The type of a setting by its JSON schema, with its bounds."""
    from pydantic import Field

    if "$ref" in table:
        return _annotation(definitions[table["$ref"].rpartition("/")[2]], definitions)
    if "enum" in table:
        return Literal[tuple(table["enum"])]
    if "const" in table:
        return Literal[table["const"]]
    if "anyOf" in table:
        return Union[tuple(_annotation(item, definitions) for item in table["anyOf"])]  # noqa: UP007
    kinds: dict[str, Any] = {"integer": int, "number": float, "string": str, "boolean": bool, "null": None}
    kind = str(table.get("type"))
    if kind == "array":
        items = table.get("items")
        return list[_annotation(items, definitions)] if isinstance(items, dict) else list[Any]  # type: ignore[misc]
    found = kinds.get(kind, dict[str, Any] if kind == "object" else Any)
    names = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
    limits = {names[key]: table[key] for key in names if key in table}
    text = table.get("description")
    return Annotated[found, Field(description=text, **limits)] if limits or text else found


def _again(source: Source, kind: str, name: str) -> type[Component]:
    """A stand-in class in another process."""
    return next(cls for cls in stand_ins(source) if (cls.kind, cls.name) == (kind, name))


def _reduce(cls: Any) -> tuple[Any, ...]:
    return _again, (cls.source, cls.kind, cls.name)


copyreg.pickle(_Meta, _reduce)  # type: ignore[arg-type]
