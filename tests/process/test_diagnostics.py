"""trainhub/process/diagnostics.py: log lines never contain client addresses."""

import json
import os
import subprocess
import sys

import pytest
from hub_process import ROOT
from waiting import PATIENCE

from trainhub.process.diagnostics import BURST

pytestmark = pytest.mark.slow

SAY = """
import logging
from trainhub.process.diagnostics import Diagnostics, leave
Diagnostics({form!r})
logging.getLogger("trainhub.hub").info("12345/2026-11-23 is here: é %d", 7)
logging.getLogger("trainhub.hub").debug("too much")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("trainhub.web").exception("it failed")
logging.getLogger("tornado.access").info("200 GET /api/trains/1/passengers/4512345601")
logging.getLogger("tornado.general").warning("Malformed HTTP message from 10.1.2.3")
logging.getLogger("pymongo.command").error("insert passengers")
leave(0)
"""


def said(form):
    """The lines on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(form=form)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_lines():
    """An object each, also of a traceback; the text as it is."""
    first, second = map(json.loads, said("json"))
    assert first.pop("time").startswith("20")
    assert first == {
        "level": "INFO",
        "logger": "trainhub.hub",
        "message": "12345/2026-11-23 is here: é 7",
    }
    assert (second["level"], second["message"]) == ("ERROR", "it failed")
    assert "ZeroDivisionError" in second["exception"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_others_log_of_clients_is_left_out(form):
    """Addresses have PNRs in them, a client's faults are no news, and documents are people."""
    lines = "".join(said(form))
    assert "12345/2026-11-23 is here" in lines
    for word in ("4512345601", "10.1.2.3", "insert", "too much"):
        assert word not in lines


# --- many lines -----------------------------------------------------------------------------

FLOOD = """
import logging, sys
from trainhub.process.diagnostics import Diagnostics, leave
diagnostics = Diagnostics({form!r})
log, charts = logging.getLogger("trainhub.websocket"), logging.getLogger("trainhub.charts")
for n in range(1000):
    log.info("a client was %d bytes behind", n)
    charts.error("line %d is left out", n)
log.warning("another line")
diagnostics.summarize()
log.warning("a line after it")
leave(0)
"""


def run(code, **options):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, check=False, timeout=PATIENCE, **options)


def test_lines_that_a_client_causes_at_will_are_sampled():
    """Of each place in the code a burst, then the number that was left out; others are not held.

    What the operator's own files cause is logged whole.
    """
    lines = run(FLOOD.format(form="text"), stderr=subprocess.PIPE, text=True).stderr.splitlines()
    assert sum("bytes behind" in line and " INFO " in line for line in lines) == BURST
    assert sum("is left out" in line for line in lines) == 1000
    assert sum("another line" in line or "a line after it" in line for line in lines) == 2
    (told,) = [line for line in lines if "more lines of" in line]
    assert told.endswith(
        f"{1000 - BURST} more lines of trainhub.websocket were left out: "
        "a client was %d bytes behind"
    )


def test_a_reader_that_was_stuck_is_told_how_many_lines_are_missing():
    """In lines of the log's own form, one at each place where lines are missing."""
    flood = """
import logging, sys, time
from trainhub.process.diagnostics import Diagnostics, leave
diagnostics = Diagnostics("json")
charts = logging.getLogger("trainhub.charts")
for n in range(20_000):
    charts.error("line %d " + "x" * 100, n)
assert diagnostics.complaints(), "nothing was dropped"
print("full", flush=True)
time.sleep(1)
while not diagnostics._streams[1].drain(1):
    pass
charts.error("the last line")
leave(0)
"""
    command = [sys.executable, "-c", flood]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as hub:
        assert hub.stdout.readline() == "full\n"
        lines = [json.loads(line) for line in hub.stderr]
    assert hub.returncode == 0
    messages = [line["message"] for line in lines]
    assert messages[-1] == "the last line"
    shown = sum(message.startswith("line ") for message in messages)
    end = " lines were dropped here, as stderr was not read"
    dropped = [int(m.removesuffix(end)) for m in messages if m.endswith(end)]
    assert dropped
    assert shown + sum(dropped) == 20_000


@pytest.mark.parametrize("what", ["warnings.warn('x' * 99)", "print('x' * 99)", "1 / 0"])
def test_what_the_interpreter_prints_does_not_block_either(what):
    """Warnings, prints and tracebacks, on pipes that are not read: the process ends in time."""
    code = f"""
import sys, threading, warnings
from trainhub.process.diagnostics import Diagnostics, leave
Diagnostics("text")
warnings.simplefilter("always")
def each():
    {what}
threading.excepthook = sys.excepthook
for n in range(2_000):
    if n % 40 == 0 or "/" not in {what!r}:
        thread = threading.Thread(target=each)
        thread.start()
        thread.join()
leave(0)
"""
    reader, writer = os.pipe()
    try:
        assert run(code, stdout=writer, stderr=writer).returncode == 0
    finally:
        os.close(reader)
        os.close(writer)


# --- the end, and standard files that are not there -----------------------------------------


def test_leaving_waits_for_no_thread():
    """The process ends without waiting for a thread that hangs in a pool."""
    code = """
import concurrent.futures, threading
from trainhub.process.diagnostics import Diagnostics, leave
Diagnostics("text")
concurrent.futures.ThreadPoolExecutor().submit(threading.Event().wait)
print("said")
leave(3)
"""
    done = run(code, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (3, b"said\n")


def test_standard_files_that_were_closed_are_filled():
    """Otherwise the next file that is opened is what `print` writes to."""
    code = """
import os
from trainhub.process.diagnostics import fill_standard_files
fill_standard_files()
with open("/dev/zero") as file:
    os._exit(0 if file.fileno() > 2 else 1)
"""
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        command = ["sh", "-c", f'exec "{sys.executable}" -c "$CODE" {closed}']
        environment = {**os.environ, "CODE": code}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=PATIENCE)
        assert done.returncode == 0, closed
