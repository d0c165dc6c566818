"""Every hook is documented with its arguments, and every hook works: one test a hook, named for it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from vibro import hookimpl, hookspecs
from vibro.api import Classifier, Detector, FeatureExtractor, Fuser, Metric, Reader, Thresholder
from vibro.errors import PluginLoadError
from vibro.events import StageStarted
from vibro.host.manager import PluginHost

ROOT = Path(__file__).parents[2]
HOOKS = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, "vibro_spec")
}


def host_with(name: str, function) -> PluginHost:
    host = PluginHost.create(autoload=False, environ={})
    host.register_module("mine", SimpleNamespace(__name__="mine", **{name: hookimpl(function)}))
    return host


def component(base: type, method: str) -> type:
    return type("Mine", (base,), {"name": "mine", method: lambda self, *args: None})


def registers(hook: str, cls: type) -> None:
    """The class is offered under its kind and name, and a class of another kind is refused."""
    host = host_with(hook, lambda register: register(cls))
    assert host.component(cls.kind, "mine") is cls
    assert host.owner(cls.kind, "mine").name == "mine"
    with pytest.raises(PluginLoadError, match="which is no"):
        host_with(hook, lambda register: register(dict))


def test_register_readers():
    registers("register_readers", component(Reader, "read"))


def test_register_features():
    registers("register_features", component(FeatureExtractor, "transform"))


def test_register_detectors():
    registers("register_detectors", type("Mine", (Detector,), {"name": "mine", "fit": print, "score": print}))


def test_register_fusers():
    registers("register_fusers", component(Fuser, "fuse"))


def test_register_thresholders():
    registers("register_thresholders", component(Thresholder, "cut"))


def test_register_classifiers():
    registers(
        "register_classifiers", type("Mine", (Classifier,), {"name": "mine", "fit": print, "predict_proba": print})
    )


def test_register_metrics():
    registers("register_metrics", component(Metric, "compute"))


def test_on_event():
    seen = []
    host_with("on_event", lambda event: seen.append(event)).emit(StageStarted("fit", 3))
    assert seen == [StageStarted("fit", 3)]


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_test_and_stands_in_the_docs(name):
    assert f"test_{name}" in globals()
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"### `{name}({arguments})`" in (ROOT / "docs" / "hooks.md").read_text()
    assert (HOOKS[name].__doc__ or "").strip()


def test_the_docs_name_no_other_hook():
    named = set(re.findall(r"^### `(\w+)\(", (ROOT / "docs" / "hooks.md").read_text(), re.MULTILINE))
    assert named == set(HOOKS)


def test_the_docs_name_every_event():
    from vibro import events

    text = (ROOT / "docs" / "hooks.md").read_text()
    for name, cls in vars(events).items():
        if inspect.isclass(cls) and issubclass(cls, events.Event) and cls is not events.Event:
            assert f"`{name}`" in text


def test_a_mistyped_hook_is_an_error():
    with pytest.raises(PluginLoadError, match="register_detector"):
        host_with("register_detector", lambda register: None)


def test_a_mistyped_argument_is_an_error():
    with pytest.raises(PluginLoadError, match="reg"):
        host_with("register_detectors", lambda reg: None)
