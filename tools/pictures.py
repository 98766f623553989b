"""Takes pictures of the pages: `make pictures`. It needs Chromium, and starts a demo.

Each page at three widths goes to build/pictures/, to be looked at; the pictures of the docs are
renewed. It prints how long a passenger waits for the demo's first offer.
"""

import base64
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from chromium import launch, new_context
from hub_process import HubProcess
from playwright.sync_api import Page, sync_playwright
from waiting import wait_for

ROOT = Path(__file__).parents[1]
LOOKED_AT = ROOT / "build" / "pictures"
HEIGHTS = {360: 800, 768: 1024, 1280: 800}
# Width and height of the pictures of the docs, in CSS pixels.
DOCS = {
    "monitor": (1280, 800),
    "control-room": (1280, 1000),
    "tte": (390, 844),
    "passenger": (390, 660),
}
LINKS = 4
SETTLE_MS = 2_500
WEBP = """async (png) => {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', .85).split(',')[1];
}"""


def links_of(demo: HubProcess) -> list[str]:
    """Return the demo's links: control room, passenger, TTE, and the control room as ADMIN."""
    found = [line.strip() for line in demo.said if line.startswith("  http")]
    return found if len(found) == LINKS else []


def take(page: Page, encoder: Page, file: Path, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(SETTLE_MS)
    png = base64.b64encode(page.screenshot()).decode()
    file.write_bytes(base64.b64decode(encoder.evaluate(WEBP, png)))


def mark_two(page: Page) -> None:
    """Mark a person as aboard and another one as NT."""
    page.get_by_role("button", name=re.compile("^O: ")).first.click()
    page.get_by_role("button", name=re.compile("^NT: ")).nth(1).click()


def main() -> None:
    LOOKED_AT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        encoder = browser.new_page()
        demo = HubProcess(Path(folder) / "data", "--demo")
        try:
            room, passenger, tte, staff = wait_for(lambda: links_of(demo))
            begin = time.monotonic()
            run = tte.partition("&run=")[2]
            pages = {
                "passenger": passenger,
                "monitor": room,
                "control-room": f"{staff}&run={run}&tab=coaches",
                "stations": f"{room}#station=NDLS",
                "hub": f"{staff}&view=hub",
                "tte": tte,
            }
            for name, link in pages.items():
                page = new_context(browser, locale="en").new_page()
                page.goto(link)
                if name == "passenger":
                    page.locator("article.offer").wait_for()
                    print(f"the first offer came after {time.monotonic() - begin:.0f} s")
                if name == "tte":
                    mark_two(page)
                for width, height in HEIGHTS.items():
                    take(page, encoder, LOOKED_AT / f"{name}-{width}.webp", width, height)
                if name in DOCS:
                    take(page, encoder, ROOT / "docs" / f"{name}.webp", *DOCS[name])
        finally:
            browser.close()
            demo.stop()


if __name__ == "__main__":
    main()
