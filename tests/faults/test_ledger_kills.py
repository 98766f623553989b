"""kill -9 while MongoDB is away: what became of each letter reaches it all the same."""

import json
import sqlite3
from contextlib import ExitStack, closing

from aiosmtpd.controller import Controller
from load import asker
from mail_servers import Mailbox
from railway import chart, person
from waiting import wait_for
from witness import connect

PATH = "/api/trains/12345/notifications"
PEOPLE = 3


def letters(hub):
    return {(each["user"], each["channel"]): each for each in asker(hub)(PATH)}


def passenger_s_socket(hub, user, stack):
    socket = stack.enter_context(connect(hub.url.replace("http", "ws") + "/ws"))
    socket.send(json.dumps({"type": "IDENTIFY", "token": hub.token("PASSENGER", user, "12345")}))
    socket.send(json.dumps({"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}))
    heard(socket, "SUBSCRIBED")
    return socket


def is_in_journal(hub):
    """Whether the journal has that every letter was sent, and that one was seen."""
    address = f"file:{hub.folder / 'journal.db'}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as db:
        rows = db.execute("select event from records where type = 'WAYS_NOTED'").fetchall()
    ways = [way for (text,) in rows for way in json.loads(text)["ways"]]
    sent = {way["user"] for way in ways if way["channel"] == "EMAIL" and way["outcome"] == "SENT"}
    return len(sent) == PEOPLE and any(way["seenAt"] for way in ways)


def is_complete(found):
    """Whether every person's e-mail was sent, and the first one's is seen."""
    mails = [found.get((f"IR_{who}", "EMAIL"), {}) for who in range(1, 1 + PEOPLE)]
    return {each.get("outcome") for each in mails} == {"SENT"} and mails[0]["seenAt"]


def heard(socket, kind):
    while (message := json.loads(socket.recv(timeout=120)))["type"] != kind:
        pass
    return message


def test_the_ledger_outlives_a_kill_while_mongodb_is_away(start_hub, start_mongod, unused_port):
    """Sent letters stay sent although the mail server is away after the restart.

    What a passenger's device had acknowledged before is still seen.
    """
    mongod, mailbox = start_mongod(), Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=unused_port)
    server.start()
    options = (
        *("--mongodb-uri", mongod.uri, "--escalate-mail-seconds", "0"),
        *("--smtp-url", f"smtp://127.0.0.1:{unused_port}", "--mail-from", "hub@example.org"),
    )
    hub = start_hub(*options)
    ask = asker(hub)
    people = [person(who) for who in range(1, 1 + PEOPLE)]
    ask("/api/trains", chart(*people))
    ask("/api/trains/12345/start", {})
    with ExitStack() as stack:
        socket = passenger_s_socket(hub, "IR_1", stack)
        mongod.freeze()
        for each in people:
            ask(f"/api/trains/12345/passengers/{each['pnr']}/1/no-show", {})
        wait_for(lambda: len(mailbox.addresses) == PEOPLE)
        event = heard(socket, "NO_SHOW")
        socket.send(json.dumps({"type": "ACK", "trainNo": "12345", "seq": event["seq"]}))
        wait_for(lambda: is_in_journal(hub))  # an ACK has no answer
        hub.kill()
    server.stop()
    mongod.thaw()
    hub = start_hub(*options)
    # MongoDB shows an earlier state for a moment. Nothing can be sent any more.
    mails = wait_for(lambda: is_complete(found := letters(hub)) and found)
    for who in range(1, 1 + PEOPLE):
        mail = mails[f"IR_{who}", "EMAIL"]
        assert (mail["outcome"], mail["attempts"]) == ("SENT", 1)
        assert mail["queuedAt"] <= mail["sentAt"] == mail["at"]
        assert (mail["seenAt"] is not None) == (who == 1)
    assert mails["IR_1", "EMAIL"]["seenAt"] >= mails["IR_1", "EMAIL"]["sentAt"]
