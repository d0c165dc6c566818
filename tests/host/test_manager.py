"""The plugin host: one guard a plugin, clear refusals, nothing imported before it is asked for."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from vibro import hookimpl
from vibro.api import Detector, Metric
from vibro.errors import ConfigError, DuplicateComponentError, PluginLoadError, UnknownComponentError
from vibro.events import RunFinished
from vibro.host.manager import PluginHost


@pytest.fixture
def bare(tmp_path):
    """A host whose registry is a file of the test's own."""

    def build(text: str, *, environ=None, files=(), log=None, **modules: str) -> PluginHost:
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
        overlay = tmp_path / "overlay.toml"
        overlay.write_text(text)
        return PluginHost.create(
            overlay=overlay, autoload=True, environ=environ or {}, files=files, log=log or (lambda line: None)
        )

    sys.path.insert(0, str(tmp_path))
    before = set(sys.modules)
    yield build
    sys.path.remove(str(tmp_path))
    for name in set(sys.modules) - before:
        if name.startswith(("zoo_", "vibro_local_")):
            del sys.modules[name]


GOOD = """
from vibro import hookimpl
from vibro.api import Detector
class Good(Detector):
    name = "{name}"
    def fit(self, x, y=None): ...
    def score(self, x): return x.sum(axis=tuple(range(1, x.ndim)))
@hookimpl
def register_detectors(register): register(Good)
"""


WRAPPER = GOOD.format(name="zoo").replace("@hookimpl", "@hookimpl(wrapper=True)").replace(": register(Good)", ": yield")


def entry(name: str, more: str = "") -> str:
    return f'[plugins.{name}]\nmodule = "zoo_{name}"\n{more}\n'


def test_bundled_plugins_are_listed_without_importing_them():
    host = PluginHost.create(autoload=False, environ={})
    assert "mahalanobis" in host.names("detector")
    assert host._loaded == {}


def test_an_overlay_adds_a_plugin(bare):
    host = bare(entry("fine"), zoo_fine=GOOD.format(name="fine"))
    assert host.component("detector", "fine").name == "fine"
    assert host.owner("detector", "fine").origin == "overlay"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
        ("def (", "invalid syntax"),
        (GOOD.format(name="zoo").replace("register_detectors(", "register_detecters("), "register_detecters"),
        (GOOD.format(name="zoo").replace("(register): register", "(reg): reg"), "reg"),
        (WRAPPER, "wrapper"),
        (GOOD.format(name="Not Snake"), "snake_case"),
        (GOOD.format(name="zoo").replace("    def fit", "    api = 99\n    def fit"), "contract version 99"),
        (GOOD.format(name="zoo").replace("    def fit", '    requires = ("no_such_lib",)\n    def fit'), "needs no_such_lib"),
        (GOOD.format(name="zoo").replace("register(Good)", "register(int)"), "is no Detector"),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_left_out_with_its_reason(bare, source, reason):
    lines = []
    host = bare(entry("sick") + entry("well"), zoo_sick=source, zoo_well=GOOD.format(name="well"), log=lines.append)
    assert "well" in host.names("detector")
    assert host.plugins["sick"].state == "broken"
    assert reason in host.plugins["sick"].reason
    assert any("sick" in line and reason in line for line in lines)


def test_a_strict_host_stops_at_a_broken_plugin(bare):
    host = bare(entry("sick"), zoo_sick="raise RuntimeError('boom')", environ={"VIBRO_STRICT_PLUGINS": "1"})
    with pytest.raises(PluginLoadError, match="boom"):
        host.names("detector")


def test_the_allow_list_bars_third_parties_only(bare):
    text = entry("one") + entry("two")
    sources = {"zoo_one": GOOD.format(name="one"), "zoo_two": GOOD.format(name="two")}
    host = bare(text, environ={"VIBRO_PLUGINS": "two"}, **sources)
    assert {"two", "mahalanobis"} <= set(host.names("detector")) and "one" not in host.names("detector")
    with pytest.raises(UnknownComponentError):
        bare(text, environ={"VIBRO_PLUGINS": ""}, **sources).component("detector", "two")


def test_a_component_offered_twice_names_both_owners(bare):
    lines = []
    host = bare(entry("thief"), zoo_thief=GOOD.format(name="mahalanobis"), log=lines.append)
    assert host.component("detector", "mahalanobis").__module__.startswith("vibro_plugins")
    host.names("detector")
    assert "mahalanobis (bundled" in lines[0] and "thief (overlay)" in lines[0]
    with pytest.raises(DuplicateComponentError, match=r"mahalanobis \(bundled .*thief"):
        bare(entry("thief"), zoo_thief=GOOD.format(name="mahalanobis"), environ={"VIBRO_STRICT_PLUGINS": "1"}).names(
            "detector"
        )


def test_a_disabled_plugin_says_how_to_enable_it(bare):
    host = bare("[plugins.mahalanobis]\nenabled = false\n")
    with pytest.raises(PluginLoadError, match="disabled in the registry") as caught:
        host.component("detector", "mahalanobis")
    assert caught.value.hint == "vibro plugins enable mahalanobis"


def test_an_unknown_component_lists_the_known_and_the_nearest():
    host = PluginHost.create(autoload=False, environ={})
    with pytest.raises(UnknownComponentError, match="known: .*mahalanobis") as caught:
        host.component("detector", "mahalanobi")
    assert caught.value.hint == "did you mean mahalanobis?"


def test_a_local_file_is_a_plugin(bare, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GOOD.format(name="mine"))
    host = bare("", files=[path])
    assert host.component("detector", "mine")
    path.write_text("1/0")
    with pytest.raises(PluginLoadError, match=r"mine\.py: ZeroDivisionError"):
        bare("", files=[path])


def test_a_promise_that_is_not_kept_is_an_error(bare):
    host = bare(entry("liar", 'provides = ["detector:gold"]'), zoo_liar=GOOD.format(name="lead"))
    with pytest.raises(PluginLoadError, match="promises detector 'gold' but does not register it"):
        host.component("detector", "gold")


def test_unknown_keys_of_a_registry_are_errors(bare):
    with pytest.raises(ConfigError, match="plugins.x.modul: unknown key"):
        bare('[plugins.x]\nmodul = "y"\n')


def test_register_readers_features_fusers_thresholders_classifiers_metrics(bare):
    host = PluginHost.create(autoload=False, environ={})

    class Two(Metric):
        name = "two"

        def compute(self, y, score, flag):
            return 2.0

    class One(Detector):
        name = "one"

        def fit(self, x, y=None): ...

        def score(self, x):
            return x[:, 0]

    plugin = SimpleNamespace(__name__="pair")
    plugin.register_metrics = hookimpl(lambda register: register(Two), specname="register_metrics")
    plugin.register_detectors = hookimpl(lambda register: register(One), specname="register_detectors")
    found = host.register_module("pair", plugin)
    assert {cls.name for cls in found} == {"one", "two"}


def test_on_event_reaches_observers_and_drops_the_one_that_raises():
    lines: list[str] = []
    seen = []

    class Watcher:
        @hookimpl
        def on_event(self, event):
            seen.append(event)

    class Clumsy:
        @hookimpl
        def on_event(self, event):
            raise ValueError("oops")

    host = PluginHost.create(autoload=False, environ={}, log=lines.append)
    host.observe(Watcher(), "watcher")
    host.observe(Clumsy(), "clumsy")
    for _ in range(2):
        host.emit(RunFinished("complete", 1.0))
    assert len(seen) == 2
    assert len(lines) == 1 and "clumsy" in lines[0] and "oops" in lines[0]


def test_hook_calls_can_be_traced(bare):
    lines = []
    host = bare(
        entry("fine"), zoo_fine=GOOD.format(name="fine"), environ={"VIBRO_TRACE_PLUGINS": "1"}, log=lines.append
    )
    host.component("detector", "fine")
    assert "hook register_detectors of plugin fine" in lines
