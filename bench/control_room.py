"""Measure the control room's page in Chromium: its long tasks, its bytes a second, and its heap.

    python bench/control_room.py [--runs 1500] [--minutes 10] [--rate 4]

All runs are under way, and delays of random ones change `rate` times a second: as many reports as
1,500 trains send that stop every quarter of an hour. A long task holds the page for 50 ms or more.
The bytes are those of the socket's frames before compression, and of what is asked over HTTP.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from chromium import launch, new_context
from hub_process import RUN, HubProcess
from load import admin_token, asker
from playwright.sync_api import Page, sync_playwright
from railway import chart, person

FIRST_TRAIN = 20_000
# Seconds after the first row in which the page is still loading.
LOADING = 5.0
WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) longTasks.push(Math.round(each.duration));
}).observe({ type: 'longtask' });
"""


def charts(folder: Path, runs: int) -> None:
    for number in range(runs):
        train = {"trainNo": str(FIRST_TRAIN + number), "startDate": date.today().isoformat()}
        whole = chart(person(1), person(2, "BBB"), **train)
        (folder / f"{number}.json").write_text(json.dumps(whole))


class Trains(threading.Thread):
    """Starts all runs, and then changes delays until `over` is set."""

    def __init__(self, hub: HubProcess, runs: int, rate: float) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.changes = 0
        self._ask = asker(hub)
        self._rate = rate
        self._chance = Random(1)
        self._addresses = [f"/api/trains/{FIRST_TRAIN + number}" for number in range(runs)]
        for each in self._addresses:
            self._ask(f"{each}/start", {})

    def run(self) -> None:
        while not self.over.wait(1 / self._rate):
            address, delay = self._chance.choice(self._addresses), self._chance.randrange(90)
            self._ask(f"{address}/delay", {"delayMinutes": delay}, "PUT")
            self.changes += 1


class Watched:
    """A page under measure."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        self.bytes = 0
        self._debugger = page.context.new_cdp_session(page)
        self._debugger.send("Network.enable")
        self._debugger.on("Network.webSocketFrameReceived", self._frame)
        self._debugger.on("Network.dataReceived", self._data)
        page.add_init_script(WATCH)
        page.goto(url)
        page.wait_for_selector("[data-is=rows] tr")
        page.wait_for_timeout(LOADING * 1000)
        self.loading = self.long_tasks()
        self.bytes = 0

    def _frame(self, event: dict[str, Any]) -> None:
        self.bytes += len(event["response"]["payloadData"])

    def _data(self, event: dict[str, Any]) -> None:
        self.bytes += event["encodedDataLength"]

    def heap(self) -> float:
        """Return the megabytes in use after a collection."""
        self._debugger.send("HeapProfiler.collectGarbage")
        used: float = self._debugger.send("Runtime.getHeapUsage")["usedSize"] / 1e6
        return used

    def long_tasks(self) -> list[int]:
        found: list[int] = self._page.evaluate("longTasks.splice(0)")
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_500)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--rate", type=float, default=4.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        charts_folder = Path(folder) / "charts"
        charts_folder.mkdir()
        charts(charts_folder, options.runs)
        hub = HubProcess(Path(folder) / "data", "--charts", str(charts_folder), command=RUN)
        browser = launch(playwright.chromium)
        try:
            hub.wait_until_listening()
            trains = Trains(hub, options.runs, options.rate)
            page = new_context(browser, viewport={"width": 1280, "height": 900}).new_page()
            watched = Watched(page, f"{hub.url}/#token={admin_token(hub)}")
            print(f"{options.runs} runs; long tasks while it loads: {watched.loading} ms")
            trains.start()
            measure(watched, page, options.minutes)
            trains.over.set()
            trains.join()
            print(f"{trains.changes} delays were changed")
        finally:
            browser.close()
            hub.stop()


def measure(watched: Watched, page: Page, minutes: int) -> None:
    """Print a line for each minute, and the whole."""
    heaps, tasks, start = [watched.heap()], [], time.monotonic()
    watched.long_tasks()  # that of the collection
    for minute in range(1, minutes + 1):
        page.wait_for_timeout((start + 60 * minute - time.monotonic()) * 1000)
        tasks += (found := watched.long_tasks())
        heaps.append(watched.heap())
        watched.long_tasks()
        print(f"minute {minute:2}: heap {heaps[-1]:.1f} MB, long tasks {found} ms", flush=True)
    rate = watched.bytes / (time.monotonic() - start) / 1e3
    print(f"long tasks: {len(tasks)}, the longest {max(tasks, default=0)} ms")
    print(f"heap {heaps[0]:.1f} MB at first, {heaps[-1]:.1f} at the end; {rate:.1f} KB a second")


if __name__ == "__main__":
    main()
