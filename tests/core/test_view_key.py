"""What names the code behind a view."""

from __future__ import annotations

from vibro.core import view_key


def test_the_code_of_a_view_covers_its_package_vibro_and_the_libraries(monkeypatch):
    def code():
        view_key.code_of.cache_clear()
        return view_key.code_of(PluginLike)

    class PluginLike:
        pass

    before = code()
    assert before == code()
    for name, changed in (("_sources", lambda package: f"other {package}"), ("library_versions", lambda: "numpy 0")):
        with monkeypatch.context() as patch:
            patch.setattr(view_key, name, changed)
            assert code() != before
    view_key.code_of.cache_clear()
    assert "numpy " in view_key.library_versions() and len(view_key._sources("vibro")) == 64
