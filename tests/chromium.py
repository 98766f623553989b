"""The machine's own Chromium, for the tests of static/.

Debian has it twice. `chromium` is what people use; `chromium-headless-shell` has the same engine
without windows, notifications and a profile on disk, and takes a third less of a core.
"""

import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect
from waiting import PATIENCE

# What a page is waited for: a machine may be busy.
PATIENCE_MS = PATIENCE * 1000
expect.set_options(timeout=PATIENCE_MS)
CHROMIUM = (
    "--headless=new --no-sandbox --disable-gpu --disable-background-networking "
    "--disable-component-update --disable-sync --no-first-run"
).split()


def find_chromium(name: str = "chromium") -> str:
    """Return the path of one of the two. A test is skipped where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed here")
    return path


def launch(chromium, name: str = "chromium"):
    """Start one of the two, by playwright's `chromium` or a browser's `browser_type`."""
    return chromium.launch(executable_path=find_chromium(name), args=CHROMIUM)


def new_context(browser, **options):
    """Return a context whose pages are waited for as long as all else in the tests."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    return context


# A new width reaches the media queries with a frame.
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def fits(page) -> bool:
    """Return whether the page scrolls down only, at the width that it was last given."""
    width = page.viewport_size["width"]
    page.wait_for_function("width => innerWidth === width", arg=width)
    page.evaluate(TWO_FRAMES)
    return page.evaluate("document.documentElement.scrollWidth") <= width


@contextmanager
def new_page(browser):
    """A page; `page.complaints` has the console's errors and uncaught exceptions."""
    context = new_context(browser)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda said: said.type == "error" and page.complaints.append(said.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()
