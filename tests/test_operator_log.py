"""The operator's log of a hub: what starts, each act at DEBUG, and ids only."""

import json
import urllib.error

import pytest
from load import asker
from marked import marked, words_in, words_of
from railway import chart
from waiting import PATIENCE, wait_for
from websockets.sync.client import connect

PEOPLE = [marked(1), marked(2)]
RUN = "/api/trains/12345"


def heard(hub, words):
    """Return the log's lines that have these words."""
    return [line for line in hub.logged if words in line]


def act(hub):
    """Give a command, have one refused, and open a socket and close it."""
    ask = asker(hub)
    ask("/api/trains", chart(*PEOPLE, trainNo="12345"))
    ask(f"{RUN}/start", {})
    ask(f"{RUN}/passengers/{PEOPLE[0]['pnr']}/1/no-show", {})
    with pytest.raises(urllib.error.HTTPError):
        ask(f"{RUN}/passengers/9999999999/1/no-show", {})
    with connect(f"ws://127.0.0.1:{hub.port}/ws") as socket:
        socket.send(json.dumps({"type": "SUBSCRIBE_TRAIN", "trainNo": "99999"}))
        while json.loads(socket.recv())["type"] != "ERROR":
            pass


def test_the_start_is_described(start_hub):
    """Version, settings in force with their source, data folder, MongoDB, address and runs."""
    hub = start_hub("--new", environment={"TRAINHUB_HEARTBEAT_SECONDS": "7"})
    first = "\n".join(wait_for(lambda: heard(hub, "runs: none") and hub.logged))
    for words in (
        "trainhub.server: trainhub 0.",
        "--heartbeat-seconds 7 (environment)",
        "--new on (option)",
        f"data folder {hub.folder.resolve()}: 0 records, epoch ",
        "MongoDB: embedded, database trainhub",
        f"listening on {hub.url} with 0 runs: none",
    ):
        assert words in first
    assert "settings by default" not in first


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_act_has_a_line_at_debug(start_hub, form):
    """In both forms alike, and with ids only: no name, user, PNR or token."""
    hub = start_hub("--new", "--log-level", "debug", "--log-format", form)
    act(hub)
    for words in (
        "REGISTER_TRAIN on 12345/",
        "MARK_NO_SHOW on 12345/",
        "UNKNOWN_PASSENGER over POST, role ",
        "UNKNOWN_TRAIN over socket, role ",
        "settings by default: --address 127.0.0.1",
    ):
        wait_for(lambda words=words: heard(hub, words))
    wait_for(lambda: len([line for line in heard(hub, "connection") if "closed" in line]) == 1)
    assert hub.stop() == 0
    lines = hub.said + hub.logged
    assert not words_in("\n".join(lines).encode(), set.union(*map(words_of, PEOPLE)))
    if form == "json":
        assert {"level", "message"} <= set.intersection(*(set(json.loads(each)) for each in lines))


def test_acts_are_counted_once_a_minute(start_hub):
    """At INFO there is one line for all of them, at the latest when the hub stops."""
    hub = start_hub("--new")
    act(hub)
    assert not heard(hub, "MARK_NO_SHOW on")
    assert hub.stop() == 0
    said = "\n".join(heard(hub, "connections are open"))
    for words in ("1 MARK_NO_SHOW", "1 UNKNOWN_PASSENGER", "1 opened"):
        assert words in said


@pytest.mark.parametrize("options", [("--port", "x"), ("--tls-cert", "absent")])
def test_a_bad_start_is_told_in_json(start_hub, options):
    """A hub that does not start says why in the form that was asked for."""
    hub = start_hub("--log-format", "json", *options, wait=False)
    assert hub.wait(PATIENCE) == 2
    assert [json.loads(line)["level"] for line in hub.logged][-1] == "ERROR"
