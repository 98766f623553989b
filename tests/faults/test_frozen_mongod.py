"""A mongod that is frozen: the hub stops all the same, and nothing of what it had is lost."""

import signal
import time

from load import asker
from pymongo import MongoClient
from railway import RUN, chart


def test_stopping_while_mongod_is_frozen(start_hub, own_mongod):
    """The last flush has its deadline, whatever is under way by then; the rest stays in the journal
    and is in MongoDB after the next start."""
    mongod = own_mongod()
    hub = start_hub("--mongodb-uri", own_mongod.uri)
    ask = asker(hub)
    ask("/api/trains", chart())
    mongod.send_signal(signal.SIGSTOP)
    ask("/api/trains/12345/start", {})
    deadline = time.monotonic() + 30
    while not ask("/api/monitor")["writeBuffer"]["depth"]:
        assert time.monotonic() < deadline
    assert hub.stop(signal.SIGTERM, seconds=8) == 0
    assert any("stopped before all was written" in line for line in hub.logged)

    mongod.send_signal(signal.SIGCONT)
    start_hub("--mongodb-uri", own_mongod.uri, folder=hub.folder)
    with MongoClient(own_mongod.uri) as client:
        database = client["trainhub"]
        while database.events.count_documents({"run": RUN}) != 2:
            assert time.monotonic() < deadline + 30
        assert {each["seq"] for each in database.runs.find()} <= {1, 2}


def test_starting_while_mongod_is_frozen(start_hub, own_mongod):
    """The start goes on after some two seconds, and the hub works."""
    mongod = own_mongod()
    with MongoClient(own_mongod.uri) as client:
        client.admin.command("ping")
    mongod.send_signal(signal.SIGSTOP)
    hub = start_hub("--mongodb-uri", own_mongod.uri)
    ask = asker(hub)
    assert ask("/api/trains", chart())["passengers"] == 6
    assert any("MongoDB does not answer" in line for line in hub.logged)
    mongod.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 30
    while ask("/api/monitor")["writeBuffer"]["flushed"] < 8:
        assert time.monotonic() < deadline
