"""The contracts of every component: the one file that a plugin author reads.

Shorthand in shapes: n rows, C channels, T samples, d detectors, k covariates. Arrays that the engine hands out are
read-only and may be memory maps. A component is made with ``cls.make(settings, ctx)``, computes nothing before ``fit``,
and carries what it learned in plain numeric arrays (``state``), never in a pickle.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vibro.context import Context, Disturbed
from vibro.data import Record, Rejected
from vibro.errors import ConfigError, ContractError, NotApplicableError, NotFittedError

__all__ = [
    "API_VERSION",
    "Classifier",
    "Component",
    "ConfigError",
    "Context",
    "ContractError",
    "Detector",
    "Disturbed",
    "Exported",
    "Extent",
    "FeatureExtractor",
    "Fuser",
    "Metric",
    "NoParams",
    "NotApplicableError",
    "NotFittedError",
    "Params",
    "Pool",
    "Reader",
    "Record",
    "Rejected",
    "State",
    "Thresholder",
    "Training",
    "ViewKey",
    "view_key",
]

API_VERSION = 1
State = dict[str, NDArray[Any]]  # numeric and bool arrays only; 0-d for scalars


@dataclass(frozen=True)
class Params:
    """Base of a component's settings: a frozen dataclass of plain values with defaults.

    Bounds are written ``Annotated[int, Field(ge=1)]`` (pydantic's Field), choices ``Literal["a", "b"]``.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class NoParams(Params):
    """No settings."""


@dataclass(frozen=True, order=True)
class ViewKey:
    """Identity of a view: a feature's name and its parameters as canonical JSON; equal keys share one array."""

    name: str
    params: str = "{}"

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters as a table."""
        return dict(json.loads(self.params))

    def __str__(self) -> str:
        """Reads like ``per_sensor(of=mains)``."""
        parts = []
        for key, value in self.settings.items():
            nested = view_key(value) if isinstance(value, dict) and "use" in value else value
            parts.append(f"{key}={nested}")
        return f"{self.name}({', '.join(parts)})" if parts else self.name


def view_key(spec: str | Mapping[str, Any] | ViewKey) -> ViewKey:
    """A view as written in an ensemble, ``"mains"`` or ``{use = "hetero", size = 64}``, as its key."""
    if isinstance(spec, ViewKey):
        return spec
    if isinstance(spec, str):
        return ViewKey(spec)
    if not isinstance(spec, Mapping) or not isinstance(spec.get("use"), str):
        raise ConfigError(f"a view is a name or a table with 'use', not {spec!r}")
    settings = {key: value for key, value in spec.items() if key != "use"}
    return ViewKey(spec["use"], json.dumps(settings, sort_keys=True, separators=(",", ":")))


@dataclass(frozen=True)
class Training:
    """The course of a training: ``loss`` (epochs,) by which it was stopped, and the fit rows, by index, that this was taken from.

    None of ``held_out`` (k,) was learned from; it is empty where the loss is that of the rows learned from.
    """

    loss: NDArray[np.float64]
    held_out: NDArray[np.intp]


@dataclass(frozen=True)
class Pool:
    """Records of one kind of machine as a view shows them, for ``Detector.pretrain``: x (n, *item).

    Copy i of ``one`` and copy i of ``other`` (m each) are different records with the same disturbance.
    """

    x: NDArray[np.float32]
    one: Disturbed
    other: Disturbed


@dataclass(frozen=True)
class Exported:
    """A fitted feature, detector or fuser for a machine without vibro, where one script scores with numpy.

    ``function`` gets ``arrays`` and then what ``transform``, ``score`` or ``fuse`` get, a feature its inputs one by one
    in order, and gives what they give. It is a module's own, and that module imports numpy alone, or modules that do: the
    script takes it over. ``graph`` is an ONNX model. Without a function it gets the inputs and its first output is taken;
    with one, the function gets ``run(*inputs)``, the first output of the graph, as its second argument.
    """

    arrays: State
    function: Callable[..., NDArray[Any]] | None = None
    graph: bytes = b""


@dataclass(frozen=True)
class Extent:
    """Where the values of one row of a view lie in the record: ``seconds`` and ``hz``, from and to, (*item, 2) each.

    NaN: the value has no certain time, or no certain frequency. A band level has a frequency and no time, a pixel of a
    wavelet map both, a kurtosis neither. Frequencies are those of the signal, not of its envelope.
    """

    seconds: NDArray[np.float64]
    hz: NDArray[np.float64]


class Component(ABC):
    """Base of every component."""

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    Params: ClassVar[type[Params]] = NoParams
    requires: ClassVar[tuple[str, ...]] = ()  # import names; missing -> plugin refused with that name
    deterministic: ClassVar[bool] = True
    test_settings: ClassVar[Mapping[str, Any]] = {}  # small and fast, for the conformance kit
    seconds: ClassVar[float] = (
        0.5  # for 1,000 records of 8,192 samples on one core, all fits included: a printed estimate
    )
    api: ClassVar[int] = API_VERSION

    def __init__(self, params: Any, ctx: Context) -> None:
        self.params = params
        self.ctx = ctx

    @classmethod
    def make(cls, settings: Mapping[str, Any], ctx: Context, *, where: str = "") -> Self:
        """Checks the settings against ``Params`` and constructs; a ConfigError lists every problem with its path."""
        return cls(check_settings(cls.Params, settings, where or cls.name), ctx)

    def state(self) -> State:
        """What was learned, as plain arrays; NotFittedError before ``fit``. Components that learn nothing return {}."""
        return {}

    def load_state(self, state: State) -> None:  # noqa: B027
        """Restores what ``state`` gave."""

    def export(self) -> Exported:
        """Optional, of a fitted feature, detector or fuser: what ``vibro export`` writes; NotApplicableError says why not.

        A feature has been given records of the model's length before.
        """
        raise NotApplicableError(f"{self.name} does not say how it is exported")


class FeatureExtractor(Component):
    """Turns inputs (records or other views) into a view of (n, *item) float32; row i depends on row i alone.

    One that reads the root ``instant`` is handed whole instants, and row i may depend on all rows of its instant. A row that
    cannot be made, because others are missing or because the sensor is none of its kind, is NaN throughout, and no detector
    is asked about it.

    Multi-channel records: a vector view joins its channels along the last axis, an image view along its first.
    """

    kind = "feature"
    item: ClassVar[str] = "f"  # shape of one row: "3 h w", "1200", "t f"; letters stand for any size
    takes: ClassVar[str] = "..."  # item shapes of the views, or of ``raw``, that it is made from; "..." any

    @classmethod
    def inputs(cls, params: Any) -> tuple[str | ViewKey, ...]:
        """Views this one is made from. Roots: ``raw`` (n, C, T), ``covariates`` (n, k), ``sensor`` (n, 1) codes, -1 unknown,
        ``instant`` (n, 1) number of machine and instant, -1 invalid or without a time."""
        return ("raw",)

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Optional; sees the fit rows only. Keys are the view names as text (``str(view_key)``); beside ``sensor`` there is
        ``group`` (n, 1) where it is known which sensors are alike, -1 = none: they share what a few rows do not tell.

        NotApplicableError where nothing can be learned: the detectors that read the view are then left out with that reason.
        """

    @abstractmethod
    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, *item) float32, finite; called in chunks of rows or of whole instants."""

    def extent(self, inputs: Mapping[str, Extent]) -> Extent | None:
        """Optional, after ``fit``: where the values of a row lie, for pages that show what a detector found; None: not said.

        ``inputs`` are the extents of what the view is made from, by name as in ``transform``: that of ``raw`` (C, T) holds the
        time of each sample, that of a view which does not say NaN. A view that keeps another's columns returns its extent.
        """
        return None

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Optional mask over the last axis after ``fit``: False marks a feature that this fs and length cannot give."""
        return None


class Detector(Component):
    """Gives every row of a view one score: finite float64, larger = worse, independent of the other rows in the call."""

    kind = "detector"
    view: ClassVar[str | Mapping[str, Any]] = "raw"  # default; the ensemble may name another
    item: ClassVar[str] = "..."  # item shapes it accepts; "..." any
    needs_labels: ClassVar[bool] = False
    wants_disturbed: ClassVar[bool] = False  # learns from disturbed copies of its fit rows: ``ctx.disturbed``
    exclusive: ClassVar[bool] = False  # touches process-wide state (torch's global generator): runs alone
    cross_fit: ClassVar[bool] = True  # calibrated on five out-of-fold fits; False: one fit, a held-out fifth
    own_held_out: ClassVar[bool] = (
        False  # scores each fit row as if it had been left out, so that no fold needs its own fit
    )
    robust: ClassVar[bool] = (
        False  # copes with faults among its fit rows by itself: suspicious ones are not kept from it
    )
    min_rows: ClassVar[int] = 20  # fewer fit rows: the detector is skipped

    @classmethod
    def wants_copies(cls, params: Any) -> bool:
        """Whether it learns from disturbed copies with these settings; by default whether it ever does."""
        return cls.wants_disturbed

    @abstractmethod
    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, *item); a second call forgets the first. Raise NotApplicableError where nothing can be learned."""

    @abstractmethod
    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, *item) -> (n,)."""

    def health(self) -> Mapping[str, float]:
        """Optional named numbers about the fit; ``{"failed": 1.0}`` takes the detector out of the fusion.

        ``rows_used`` says how many of its rows it learned from, where not all; ``epoch`` after which epoch of its training it
        has its weights, 0: it kept those that it began with. A run tells of both.
        """
        return {}

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Optional: what each value of (n, *item) adds to the score of its row, same shape; None: not said.

        Of a reconstruction the error of each value; else what an attribution method finds. Larger = more unlike what was learned;
        negative values speak for the row. Only ratios within a row count.
        """
        return None

    def training(self) -> Training | None:
        """Optional: the course of the last fit, of a detector that is trained in epochs."""
        return None

    def pretrain(self, pools: Sequence[Pool], about: Mapping[str, Any]) -> bytes:
        """Optional: learns from other machines what later fits start from; the content of a file of weights.

        ``about``, any table that JSON can hold, says where they come from. NotApplicableError where nothing can be learned.
        """
        raise NotApplicableError(f"{self.name} cannot be pre-trained")

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Optional, of an auto-encoder after ``fit``: codes (n, k) of rows (n, *item). NotApplicableError where it has none."""
        raise NotApplicableError(f"{self.name} has no decoder")

    def decode(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Optional: rows (n, *item) of codes (n, k), from which ``finetune --augment generate`` makes records of a class."""
        raise NotApplicableError(f"{self.name} has no decoder")


class Fuser(Component):
    """Makes one score of the d calibrated columns; ``ctx.names`` holds their ids."""

    kind = "fuser"
    needs_labels: ClassVar[bool] = False
    wants_trial: ClassVar[bool] = False

    def fit(
        self,
        z: NDArray[np.float64],
        y: NDArray[np.int16] | None = None,
        usefulness: NDArray[np.float64] | None = None,
    ) -> None:
        """Learns from the held-out reference z (n, d), NaN = not available; ``usefulness`` (d,): what each
        caught of injected faults, NaN for one that could not be tried.
        """

    @abstractmethod
    def fuse(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d), NaN where a detector gave no score -> (n,); a row without any score is NaN."""

    def weights(self) -> NDArray[np.float64] | None:
        """(d,) weights summing to 1: how much each member counts, exactly so for a linear rule; None if unknown."""
        return None

    def notes(self) -> Sequence[str]:
        """Sentences for the summary's warnings: members found inverted, dead or alike."""
        return ()


class Thresholder(Component):
    """Finds the cut for a budget = wished share of alarms among normal records."""

    kind = "thresholder"
    needs_labels: ClassVar[bool] = False

    @abstractmethod
    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """A finite cut from held-out reference scores (r,); it falls (or stays) as the budget grows.

        ``y`` (r,): 1 fault, 0 normal, -1 not known; None unless the method learns from labels.
        """

    def details(self) -> Mapping[str, Any]:
        """Of the last ``cut``: ``fallback`` (text or None), ``interval`` [lo, hi] and what else the method knows."""
        return {}


class Reader(Component):
    """Turns one file into records; a bad item becomes a Rejected, never silence."""

    kind = "reader"
    extensions: ClassVar[tuple[str, ...]] = ()  # ".jsonl", ".jsonl.gz": what folders are searched for
    parses: ClassVar[bool] = (
        False  # makes numbers of text; its items follow from the file alone and are kept for later runs
    )

    @classmethod
    def accepts(cls, path: Path, head: bytes) -> bool:
        """Whether this reader takes the file; by default by its extension."""
        return path.name.lower().endswith(cls.extensions)

    @abstractmethod
    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every item of the file, in order."""

    def notes(self) -> Sequence[str]:
        """Sentences about the file read last that belong to the warnings: a byte-order mark, times without a zone."""
        return ()


class Classifier(Component):
    """The supervised stage: classes from a view, real labels and pseudo-labels."""

    kind = "classifier"
    view: ClassVar[str | Mapping[str, Any]] = "raw"
    item: ClassVar[str] = "..."  # item shapes it accepts; "..." any
    scores: ClassVar[bool] = False  # the detectors' z follow the columns of a vector view; ``ctx.names`` names them
    starts_from: ClassVar[tuple[str, ...]] = ()  # detectors of which ``start`` takes over what they have learned

    def start(self, state: State) -> None:
        """Optional, before ``fit``: takes over the state of a fitted detector, whose view is then the classifier's too.

        NotApplicableError where that state cannot be used.
        """
        raise NotApplicableError(f"{self.name} starts from no detector")

    @abstractmethod
    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16], weight: NDArray[np.float32]) -> None:
        """Learns classes y (n,) 0 .. c - 1 with weights (n,); weight 0 = ignored, every class has rows that are not.

        ``x`` (n, *item) may be a memory map larger than memory: rows that are ignored need not be read. Weights tell
        pseudo-labels from real ones and balance the classes.
        """

    @abstractmethod
    def predict_proba(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, classes); rows sum to 1."""

    def curves(self) -> Mapping[str, Sequence[float]]:
        """Of the last ``fit``: one value an epoch, such as ``loss``; empty for a classifier that has none."""
        return {}


class Metric(Component):
    """Judges scores against labels (0 normal, 1 anomalous)."""

    kind = "metric"
    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def compute(self, y: NDArray[np.int16], score: NDArray[np.float64], flag: NDArray[np.bool_]) -> float:
        """One number; NaN where it is not defined."""


KINDS: dict[str, type[Component]] = {
    cls.kind: cls for cls in (Reader, FeatureExtractor, Detector, Fuser, Thresholder, Classifier, Metric)
}


def check_settings(params: type[Params], settings: Mapping[str, Any], where: str) -> Any:
    """The frozen ``Params`` for a table of settings; ConfigError names every wrong one, its bound and the known names."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(params).validate_python(dict(settings))
    except ValidationError as error:
        known = [f.name for f in fields(params)]
        problems = []
        for item in error.errors():
            path = ".".join([where, *map(str, item["loc"])])
            if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
                near = get_close_matches(str(item["loc"][-1]), known, 1)
                guess = f"; did you mean {near[0]}?" if near else ""
                problems.append(f"{path}: unknown parameter{guess} (known: {', '.join(known) or 'none'})")
            else:
                problems.append(f"{path}: {item['msg']} (got {item['input']!r})")
        raise ConfigError("; ".join(problems)) from None


def settings_of(params: Any) -> dict[str, Any]:
    """The settings of a ``Params`` as a plain table."""
    return asdict(params)


def without_use(table: Mapping[str, Any]) -> dict[str, Any]:
    """A component's table without its name."""
    return {key: value for key, value in table.items() if key != "use"}
