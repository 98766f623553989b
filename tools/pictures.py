"""Takes pictures of the pages: `make pictures`. It needs Chromium, and starts a demo.

Each page at three widths goes to build/pictures/, to be looked at; the pictures of the docs are
renewed. It prints how long a passenger waits for the demo's first offer.
"""

import base64
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

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
SETTLE_MS = 2_500
OFFER_MS = 90_000
WEBP = """async (png) => {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', .85).split(',')[1];
}"""


def links_of(demo: "subprocess.Popen[str]") -> list[str]:
    """Return the demo's links: control room, passenger, TTE, and the control room as ADMIN."""
    links: list[str] = []
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("  http"):
            links.append(line.strip())
        if len(links) == 4:
            return links
    raise SystemExit("the demo ended before it printed its links")


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
    folder = tempfile.mkdtemp()
    command = [sys.executable, "-u", str(ROOT / "run.py"), "--demo", "--port", "0"]
    demo = subprocess.Popen([*command, "--data-dir", folder], stdout=subprocess.PIPE, text=True)
    try:
        room, passenger, tte, staff = links_of(demo)
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
        LOOKED_AT.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            encoder = browser.new_page()
            for name, link in pages.items():
                page = browser.new_context(locale="en").new_page()
                page.goto(link)
                if name == "passenger":
                    page.locator("article.offer").wait_for(timeout=OFFER_MS)
                    print(f"the first offer came after {time.monotonic() - begin:.0f} s")
                if name == "tte":
                    mark_two(page)
                for width, height in HEIGHTS.items():
                    take(page, encoder, LOOKED_AT / f"{name}-{width}.webp", width, height)
                if name in DOCS:
                    take(page, encoder, ROOT / "docs" / f"{name}.webp", *DOCS[name])
            browser.close()
    finally:
        demo.terminate()
        demo.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
