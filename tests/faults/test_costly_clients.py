"""On a real hub with its defaults, one client's costly requests do not delay the others."""

import http.client
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from load import asker, behind
from railway import chart
from waiting import wait_for

EVENTS, AT_ONCE, SECONDS = 3_000, 20, 5
EVENTS_AFTER = "/api/trains/12345/events?after={}"


def repeat(over, call, counts, name):
    """Call again and again until it is over; count the answers."""
    while not over.is_set():
        call()
        counts[name] += 1


def test_a_crowd_of_costly_requests_delays_no_one(start_hub):
    """Twenty connections without a token read old events, each time after another seq.

    One client with cheap requests gets more answers than all of them together, and the control
    room gives commands. The comparison does not depend on the machine's speed.
    """
    hub = start_hub()
    ask = asker(hub)
    ask("/api/trains", chart(coaches=[]))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = [{"text": f"{number}"} for number in range(EVENTS)]
        list(pool.map(lambda each: ask("/api/trains/12345/announcements", each), said))
    wait_for(lambda: not behind(hub.folder))
    places, statuses, address = itertools.count(), set(), urlsplit(hub.url).netloc
    connections: list[http.client.HTTPConnection] = []
    counts, over = {"costly": 0, "light": 0, "command": 0}, threading.Event()

    def reader(path):
        connection = http.client.HTTPConnection(address, timeout=120)
        connections.append(connection)

        def read():
            connection.request("GET", path.format(next(places) % (EVENTS - 1_000)))
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)

        return read

    def command():
        ask("/api/trains/12345/announcements", {"text": "x"})
        time.sleep(0.01)

    costly = [(reader(EVENTS_AFTER), "costly") for _ in range(AT_ONCE)]
    others = [(reader("/healthz"), "light"), (command, "command")]
    threads = [
        threading.Thread(target=repeat, args=(over, call, counts, name))
        for call, name in (*costly, *others)
    ]
    try:
        for each in threads:
            each.start()
        time.sleep(1)
        counts.update(costly=0, light=0, command=0)
        time.sleep(SECONDS)
        seen = dict(counts)
    finally:
        over.set()
        for each in threads:
            each.join()
        for connection in connections:
            connection.close()
    print(seen)
    assert seen["light"] > seen["costly"] > 0
    assert seen["command"] > 0
    assert statuses <= {200, 429}
