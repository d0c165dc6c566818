"""What names the code behind a view."""

from __future__ import annotations


def test_the_code_of_a_view_covers_its_package_vibro_and_the_libraries(monkeypatch):
    from vibro.core import views

    def code():
        views.code_of.cache_clear()
        return views.code_of(PluginLike)

    class PluginLike:
        pass

    before = code()
    assert before == code()
    for name, changed in (("_sources", lambda package: f"other {package}"), ("_versions", lambda: "numpy 0")):
        with monkeypatch.context() as patch:
            patch.setattr(views, name, changed)
            assert code() != before
    views.code_of.cache_clear()
    assert "numpy " in views._versions() and len(views._sources("vibro")) == 64
