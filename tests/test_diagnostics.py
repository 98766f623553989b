"""trainhub/diagnostics.py: what goes on is a line each, and clients' addresses are in none."""

import json
import subprocess
import sys

import pytest
from hub_process import ROOT

SAY = """
import logging
from trainhub import diagnostics
diagnostics.start({form!r})
logging.getLogger("trainhub.hub").info("12345/2026-11-23 is here: é %d", 7)
logging.getLogger("trainhub.hub").debug("too much")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("trainhub.web").exception("it failed")
logging.getLogger("tornado.access").info("200 GET /api/trains/1/passengers/4512345601")
logging.getLogger("tornado.general").warning("Malformed HTTP message from 10.1.2.3")
logging.getLogger("pymongo.command").error("insert passengers")
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
