"""trainhub/demo/browser.py: pages open for a person at a screen, and for no one else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE, wait_for

ROOT = Path(__file__).parents[2]
CODE = """
import threading
from trainhub.demo.browser import open_pages
open_pages(["http://one", "http://two"])
for each in threading.enumerate()[1:]:
    each.join()
"""


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens pages in a process, and returns those that a browser got."""

    def run(stdout, **screen):
        got = tmp_path / "got"
        got.write_text("")
        browser = tmp_path / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" >>{got}\n')
        browser.chmod(0o755)
        outside = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
        subprocess.run(
            [sys.executable, "-c", CODE],
            cwd=ROOT,
            env={**outside, "BROWSER": str(browser), **screen},
            stdout=stdout,
            check=True,
            timeout=PATIENCE,
        )
        return lambda: got.read_text().split()

    return run


def test_pages_open_at_a_terminal_with_a_screen(opened):
    """In the order given."""
    manager, terminal = os.openpty()
    pages = opened(terminal, DISPLAY=":0")
    wait_for(lambda: pages() == ["http://one", "http://two"])
    os.close(terminal)
    os.close(manager)


def test_no_page_opens_without_a_screen_or_a_terminal(opened):
    """A service has neither, and a terminal without a screen would be taken by a text browser."""
    manager, terminal = os.openpty()
    assert opened(terminal)() == []
    assert opened(subprocess.DEVNULL, DISPLAY=":0")() == []
    os.close(terminal)
    os.close(manager)
