"""kill -9 while e-mails go out: none is lost, and few are sent twice."""

import os
import random
import time

import pytest
from aiosmtpd.controller import Controller
from load import asker
from mail_servers import Mailbox
from railway import chart, person
from waiting import wait_for

CYCLES = int(os.environ.get("MAIL_KILLS", "5"))
# No-shows before each kill.
MARKS = 8

pytestmark = [pytest.mark.slow, pytest.mark.sized]


def test_no_letter_is_lost_by_kill_9(start_hub, unused_port, mongod_options):
    """Of each no-show that was answered, the e-mail arrives.

    A second copy is sent only if the server had taken the first, and the hub could not note it.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=unused_port)
    server.start()
    options = (
        *mongod_options,
        *("--smtp-url", f"smtp://127.0.0.1:{unused_port}", "--mail-from", "hub@example.org"),
    )
    people = CYCLES * MARKS
    coaches = [
        {"code": f"S{number}", "class": "SL", "berths": 72} for number in range(1, people // 72 + 2)
    ]
    passengers = [
        person(1 + n, pnr=f"45123{n:05}", coach=f"S{n // 72 + 1}", berth=n % 72 + 1)
        for n in range(people)
    ]
    told = set()
    try:
        hub = start_hub(*options)
        ask = asker(hub)
        ask("/api/trains", chart(*passengers, coaches=coaches))
        ask("/api/trains/12345/start", {})
        for cycle in range(CYCLES):
            for each in passengers[cycle * MARKS : (cycle + 1) * MARKS]:
                ask(f"/api/trains/12345/passengers/{each['pnr']}/1/no-show", {})
                told.add(each["email"])
            time.sleep(chance.random() * 0.5)
            hub.kill()
            hub.wait()
            hub = start_hub(*options)
            ask = asker(hub)
        wait_for(lambda: told <= mailbox.addresses)
    finally:
        server.stop()
    twice = sum(count - 1 for count in mailbox.ids.values())
    print(
        f"{CYCLES} kills, {len(told)} e-mails, {len(told - mailbox.addresses)} lost, {twice} twice"
    )
    assert told <= mailbox.addresses
    # What one save of the queue's place may leave open, for each kill.
    assert twice <= CYCLES * MARKS
