"""The site of the documentation: every page is in it, nothing is loaded from elsewhere, and the search works from disk."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_every_page_stands_in_the_navigation():
    listed = set(re.findall(r"^\s+- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {page.name for page in DOCS.glob("*.md")}


def test_pictures_of_readme_and_docs_are_there_and_small():
    named = {
        (page.parent / target).resolve()
        for page in (ROOT / "README.md", *DOCS.glob("*.md"))
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    assert len(named) >= 7
    assert [str(path) for path in named if not path.is_file() or path.stat().st_size > 300_000] == []


def test_readme_shows_a_run_an_explanation_and_a_chinese_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"docs/screenshots/{name}.webp" in text for name in ("run", "explain", "chinese"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; the gallery's pages, which take minutes, are empty here."""
    pytest.importorskip("material", reason="mkdocs-material is not installed here")
    work = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, work / "docs", ignore=shutil.ignore_patterns("gallery", "__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", work)
    (work / "docs" / "gallery").mkdir()
    for page in set(re.findall(r"\(gallery/([^)]+)\)", (DOCS / "gallery.md").read_text(encoding="utf-8"))):
        (work / "docs" / "gallery" / page).write_text("<!doctype html><title>page</title>", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"], cwd=work, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return work / "build" / "site"


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link_and_loads_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    loaded = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>")
    assert {found for page in pages for found in loaded.findall(page.read_text(encoding="utf-8"))} == set()


@pytest.mark.slow
def test_the_search_finds_a_page_opened_from_disk(site):
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(offline=True)
        failed: list[str] = []
        page.on("requestfailed", lambda request: failed.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto((site / "index.html").as_uri())
        page.keyboard.press("s")
        page.locator("input.md-search__input").press_sequentially("quarantine")
        page.locator(".md-search-result__item").first.wait_for(timeout=20_000)
        assert page.locator(".md-search-result__item").count() > 1 and failed == []
        chromium.close()
