"""Open pages in the user's browser, where there is a screen and a person at the terminal."""

import os
import sys
import threading
import webbrowser
from collections.abc import Iterable, Mapping


def open_pages(pages: Iterable[str], environment: Mapping[str, str] = os.environ) -> None:
    """Open pages, unless the output is no terminal or the machine has no screen. Returns at once.

    Without a screen `webbrowser` would start a text browser, which takes over the terminal.
    """
    has_screen = sys.platform == "darwin" or not {"DISPLAY", "WAYLAND_DISPLAY"}.isdisjoint(
        name for name, value in environment.items() if value
    )
    if has_screen and os.isatty(1):
        threading.Thread(target=_open, args=[list(pages)], name="browser", daemon=True).start()


def _open(pages: list[str]) -> None:
    for page in pages:
        webbrowser.open(page)
