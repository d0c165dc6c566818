"""Every bundled component passes every check of the kit, or is declared here with the reason why not."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from vibro.errors import PluginError
from vibro.host.manager import PluginHost
from vibro.testing.other_process import ask
from vibro.testing.parametrize import BoundCheck
from vibro.testing.runner import case_for, checks, declared_failures, run_checks

# kind:name -> {check: reason}; strict: a declared check that passes is an error.
EXPECTED: dict[str, dict[str, str]] = {}
LAST_BIT = "refitted from its stored rows PCA may differ in the last bit (2e-16): the rows lie in another memory order"
PYOD = ("ECOD", "COPOD", "HBOS", "IForest", "KNN", "LOF", "PCA", "MCD", "LODA", "OCSVM", "INNE", "GMM")
OPTIONAL = {"pythresh": "pythresh"}  # component -> the package that it hands over to
SLOW = {"deep_svdd", "hetero_vae", "tadgan", "contrastive", "lstm_ae", "deep_sad"}


def find_components():
    """Class or load error of every enabled bundled plugin."""
    host = PluginHost.create(autoload=False, environ={})
    for plugin in [name for name, info in host.plugins.items() if info.origin == "bundled" and info.state == "on"]:
        try:
            yield from host.load(plugin)
        except PluginError as error:
            yield error


FOUND = list(find_components())
CASES = [case_for(cls) for cls in FOUND if not isinstance(cls, PluginError)]


def parameters():
    for case in CASES:
        label = f"{case.cls.kind}:{case.cls.name}"
        known = dict(checks(case))
        declared = declared_failures(case.cls, EXPECTED.get(label), known)
        for name, check in known.items():
            marks = [pytest.mark.slow] if case.cls.name in SLOW else []
            package = OPTIONAL.get(case.cls.name)
            if package and find_spec(package) is None:
                marks.append(
                    pytest.mark.skip(reason=f"{package} is not installed; {case.cls.name} only hands over to it")
                )
            if name in declared:
                marks.append(pytest.mark.xfail(reason=declared[name], strict=True))
            yield pytest.param(BoundCheck(case, name, check), id=f"{label}-{name}", marks=marks)


@pytest.fixture(scope="module")
def answers_of_one_child(request):
    """Asks one other process for all components at once: the import of its libraries is what costs."""
    asked = [item.callspec.params["check"] for item in request.session.items if item.name.startswith("test_bundled[")]
    wanted = {check.case for check in asked if isinstance(check, BoundCheck)}
    cases = [
        case for case in CASES if case in wanted and case.cls.kind in ("detector", "feature", "fuser", "classifier")
    ]
    try:
        for case, answers in zip(cases, ask([case.request for case in cases]), strict=True):
            case.__dict__["other_process"] = answers
    except Exception as error:  # then each is asked alone, and the one that fails says why
        print(f"asked one by one, because: {error}")


@pytest.mark.parametrize("check", list(parameters()))
def test_bundled(check, request):
    if "process" in check.name:
        request.getfixturevalue("answers_of_one_child")
    check()


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [pytest.param(m, marks=pytest.mark.xfail(reason=LAST_BIT, strict=False)) if m == "PCA" else m for m in PYOD],
)
def test_every_bundled_model_of_pyod_scores_rows_by_themselves(model):
    cls = next(case.cls for case in CASES if (case.cls.kind, case.cls.name) == ("detector", "pyod"))
    words = (
        "one_row",
        "batches",
        "row_order",
        "neighbours",
        "copies",
        "seed",
        "process",
        "state",
        "refit",
        "unchanged",
    )
    outcomes = run_checks(cls, settings={"model": model}, only=lambda name: any(word in name for word in words))
    assert len(outcomes) >= 12
    assert [(o.name, o.detail) for o in outcomes if not o.ok] == []


def test_every_plugin_loads():
    assert [str(error) for error in FOUND if isinstance(error, PluginError)] == []


def test_every_declared_component_exists():
    assert set(EXPECTED) <= {f"{case.cls.kind}:{case.cls.name}" for case in CASES}
