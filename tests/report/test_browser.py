"""The page in a browser with the network off: charts, zoom, filters, sorting, jumps, a phone, accessibility, speed."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from vibro.report import render

from .made import made_run, made_signals

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium (Debian's package chromium) was found")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    path = folder / "report.html"
    path.write_text(render(made_run(folder / "run"), signals=made_signals), "utf-8")
    return path


@pytest.fixture
def opened(browser):
    """opened(path, width) -> the page, which must not complain."""
    complaints, contexts = [], []

    def go(path, width=1400):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, offline=True))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda request: complaints.append(request.url) if not request.url.startswith("file:") else None
        )
        page.goto(path.as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


def see(page, plot):
    """The drawn chart of a plot, scrolled into view."""
    place = page.locator(f"[data-plot='{plot}']")
    place.scroll_into_view_if_needed()
    page.wait_for_selector(f"[data-plot='{plot}'] svg .line")
    return place


def ticks(place):
    """The labels of a chart's axes."""
    return place.locator("svg text.tick").all_text_contents()


def test_every_chart_is_drawn(opened, report):
    page = opened(report)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.evaluate("for (const one of document.querySelectorAll('.panel')) one.hidden = false")
    plots = page.eval_on_selector_all("[data-plot]", "all => all.map(one => one.dataset.plot)")
    assert len(plots) > 20 and {plot.split(":")[0] for plot in plots} == {
        "course", "waveform", "spectrum", "envelope", "image", "trend"
    }  # fmt: skip
    for plot in [plot for plot in plots if not plot.startswith("image")]:
        path = see(page, plot).locator("svg .line").last.get_attribute("d")
        assert path.count("L") > 5 and "NaN" not in path, plot


def test_the_time_frequency_image_is_painted_and_zooms(opened, report):
    page = opened(report)
    plot = page.eval_on_selector("[data-plot^='image']", "one => one.dataset.plot")
    place = page.locator(f"[data-plot='{plot}']")
    place.scroll_into_view_if_needed()
    page.wait_for_selector(f"[data-plot='{plot}'] canvas")
    painted = place.locator("canvas").evaluate("one => one.toDataURL()")
    assert len(painted) > 2000
    whole = ticks(place)
    place.focus()
    page.keyboard.press("+")
    assert ticks(place) != whole and place.locator("canvas").evaluate("one => one.toDataURL()") != painted
    page.mouse.move(place.bounding_box()["x"] + 200, place.bounding_box()["y"] + 60)
    assert re.fullmatch(r"[-0-9.]+ ms · \d+ Hz [-+]?\d+ dB", place.locator(".tip").text_content())


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """The page of one record, of a benchmark, and of two runs compared."""
    from vibro.benchmark.report import html
    from vibro.report.difference import write_difference
    from vibro.report.explain import explain
    from vibro.report.explain_page import write_explanation

    from ..benchmark.test_report import whole
    from .test_difference import made
    from .test_explain import ODD, Host
    from .test_explain import made_run as explained

    folder = tmp_path_factory.mktemp("others")
    write_explanation(explain(Host(), explained(folder / "run"), f"a.npz:{ODD}"), folder / "explain.html")
    (folder / "benchmark.html").write_text(html(whole(), "zh"), "utf-8")
    write_difference(made(), folder / "difference.html")
    return folder


def test_the_page_of_a_record_zooms_too(opened, others):
    page = opened(others / "explain.html")
    for plot in ("waveform:1", "spectrum:1", "envelope:1"):
        place = see(page, plot)
        before = ticks(place)
        place.focus()
        page.keyboard.press("+")
        assert ticks(place) != before
    page.wait_for_selector("[data-plot='image:1'] canvas")


@pytest.mark.parametrize("name", ("explain.html", "benchmark.html", "difference.html"))
@pytest.mark.parametrize("width", (1400, 390))
def test_axe_finds_nothing_serious_on_the_other_pages(opened, others, name, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = opened(others / name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(page).response["violations"]
    assert [(o["id"], o["nodes"][0]["html"][:120]) for o in found if o["impact"] in ("serious", "critical")] == []


def test_zoom_with_mouse_and_keyboard(opened, report):
    page = opened(report)
    plot = page.eval_on_selector("[data-plot^='waveform']", "one => one.dataset.plot")
    place = see(page, plot)
    whole, box = ticks(place), place.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 60, steps=4)
    page.mouse.up()
    assert ticks(place) != whole
    page.mouse.dblclick(box["x"] + 200, box["y"] + 60)
    assert ticks(place) == whole
    place.focus()
    page.keyboard.press("+")
    zoomed = ticks(place)
    page.keyboard.press("ArrowRight")
    assert zoomed != whole and ticks(place) not in (zoomed, whole)
    page.keyboard.press("0")
    assert ticks(place) == whole
    page.mouse.move(box["x"] + 220, box["y"] + 60)
    assert re.fullmatch(r"[-0-9.]+ ms · [-0-9.e]+", place.locator(".tip").text_content())


def test_a_stretch_of_time_narrows_all_trends_and_the_cases(opened, report):
    page = opened(report)
    first, second = page.eval_on_selector_all(
        ".panel:not([hidden]) [data-plot]", "all => all.map(one => one.dataset.plot)"
    )[:2]
    other = ticks(see(page, second))
    box = see(page, first).bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 60, steps=4)
    page.mouse.up()
    assert ticks(page.locator(f"[data-plot='{second}']")) != other
    assert page.locator(".case:not([hidden])").count() == 0  # the faults come late
    page.locator("#filter [name=time]").click()
    assert ticks(page.locator(f"[data-plot='{second}']")) == other
    assert page.locator(".case:not([hidden])").count() > 0


def test_filters_sorting_and_jumps(opened, report):
    page = opened(report)
    page.select_option("#filter [name=machine]", "T2")
    names = page.locator("#sensors tbody tr:visible td:first-child").all_text_contents()
    assert names and all(name.startswith("T2") for name in names)
    page.select_option("#filter [name=machine]", "")
    page.fill("#filter [name=sensor]", "T1-S2")
    assert page.locator("#sensors tbody tr:visible").count() == 1
    page.fill("#filter [name=sensor]", "no such sensor")
    page.select_option("#filter [name=level]", "2")
    page.fill("#filter [name=sensor]", "")
    levels = page.locator("#machines tbody tr:visible .badge").all_text_contents()
    assert levels == ["alarm"]
    page.select_option("#filter [name=level]", "0")
    page.locator("#sensors th", has_text="records").locator("button").click()
    column = page.locator("#sensors tbody tr td:nth-child(6)").all_text_contents()
    assert column == sorted(column, key=lambda cell: -int(cell.replace(",", "")))
    page.locator("#when rect.cell.alarm").first.click()
    sync_api.expect(page.locator("[data-plot^='trend']:focus")).to_have_count(1)
    page.evaluate("document.querySelector('#case-1').open = false")
    page.locator("#sensors a", has_text="T1-S1").first.click()
    span = page.locator(f"#{page.evaluate('document.activeElement.closest(`.panel`).id')} .span.other").last
    box = span.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    sync_api.expect(page.locator("details.case[open] > summary:focus")).to_have_count(1)


def test_phone_has_no_sideways_scrolling_and_tables_become_cards(opened, report):
    page = opened(report, 390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("getComputedStyle(document.querySelector('#sensors tbody tr')).display") == "grid"
    assert page.locator("#sensors thead").is_hidden()


def test_print_shows_folded_cases(opened, report):
    page = opened(report)
    assert page.locator("details.case:not([open])").count() > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.case:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.case:not([open])").count() > 0


@pytest.mark.parametrize("width,lang,scheme", [(1400, "en", "light"), (1400, "zh", "dark"), (390, "zh", "light")])
def test_axe_finds_nothing_serious(opened, report, tmp_path, width, lang, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    path = report
    if lang == "zh":
        path = tmp_path / "zh.html"
        path.write_text(render(made_run(tmp_path / "run"), "zh", made_signals), "utf-8")
    page = opened(path, width)
    page.emulate_media(color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    assert [
        (one["id"], one["nodes"][0]["html"][:120]) for one in found if one["impact"] in ("serious", "critical")
    ] == []


def test_thirty_thousand_records(opened, tmp_path):
    path = tmp_path / "large.html"
    path.write_text(render(made_run(tmp_path / "run", n=30_000, sensors=40), signals=made_signals), "utf-8")
    assert path.stat().st_size < 6 << 20
    page = opened(path)
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
    assert np.isfinite(ready) and ready < 3000
    plot = page.eval_on_selector(".panel:not([hidden]) [data-plot]", "one => one.dataset.plot")
    place = see(page, plot)
    before = ticks(place)
    place.focus()
    page.keyboard.press("+")
    assert ticks(place) != before
