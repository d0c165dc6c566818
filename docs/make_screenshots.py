"""Makes the pictures of pages that README and index.md show, from the gallery: `python docs/make_screenshots.py`.

Chromium or Chrome must be installed; the pictures are kept in the repository.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = {"run": "run.html", "explain": "explain.html", "chinese": "run.zh.html"}
SIZE = {"width": 1400, "height": 1400}
LARGEST = 300_000  # bytes


def main() -> None:
    """One picture a page: what a reader sees before scrolling."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("no chromium here: apt-get install chromium")
    missing = [name for name in PAGES.values() if not (DOCS / "gallery" / name).exists()]
    if missing:
        sys.exit(f"{missing[0]} is missing: run python docs/make_gallery.py first")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, file in PAGES.items():
            page = chromium.new_page(viewport=SIZE, color_scheme="light", offline=True)
            page.goto((DOCS / "gallery" / file).as_uri())
            picture = Image.open(io.BytesIO(page.screenshot()))
            out = DOCS / "screenshots" / f"{name}.webp"
            picture.save(out, quality=80, method=6)
            if out.stat().st_size > LARGEST:
                sys.exit(f"{out.name} has {out.stat().st_size} bytes, more than {LARGEST}")
        chromium.close()


if __name__ == "__main__":
    main()
