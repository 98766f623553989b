"""The machine's own Chromium, for the tests of static/."""

import shutil

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


def find_chromium() -> str:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed here")
    return path


def new_context(browser, **options):
    """Return a context whose pages are waited for as long as all else in the tests."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    return context
