"""Who reads whose data from a hub as it runs: its sockets, answers, page, log and files.

One hub with its own mongod, two runs on which everything happens, and every kind of listener.
All bytes that a listener got are searched for the words of all other people.
"""

import http.client
import json
import os
import re
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from chromium import new_context
from load import asker, behind
from marked import marked, marked_rac, marked_wl, words_in, words_of
from railway import chart
from recorder import operations
from samples import HEARD
from waiting import PATIENCE, wait_for
from websockets.exceptions import ConnectionClosed
from witness import connect

from trainhub.domain.model import Role

DAY = datetime.now(UTC).date().isoformat()
FIRST, SECOND = "12345", "22222"
PEOPLE = {
    FIRST: [
        *(marked(1), marked(2, to="DDD"), marked(3), marked(4), marked(5), marked(6)),
        *(marked_rac(7, 1), marked_rac(8, 2), marked_wl(9, 1)),
        # Another user's person on the PNR of person 3, and a second booking of person 2's user.
        marked_wl(13, 2, pnr="4512345603", index=2),
        marked_wl(14, 3, irctcId="IR_02zq"),
    ],
    SECOND: [marked(21), marked_rac(22, 1), marked_rac(23, 2)],
}
EVERYBODY = [each for people in PEOPLE.values() for each in people]
STAFF_ONLY, FOR_02 = "Forstaff00zq", "Forperson02zq"
# The listeners: the identities (role, user, trains) that each takes in turn.
LISTENERS = {
    **{each["irctcId"]: [(Role.PASSENGER, each["irctcId"], "*")] for each in EVERYBODY},
    "no token": [None],
    "a stranger": [(Role.PASSENGER, "IR_99", "*")],
    "a TTE of another train": [(Role.TTE, "T2", "54321")],
    "a passenger of another train": [(Role.PASSENGER, "IR_01zq", "54321")],
    "a feed": [(Role.SERVICE, "feed", "*")],
    "a feed of a passenger's name": [(Role.SERVICE, "IR_01zq", "*")],
    "who was TTE": [(Role.TTE, "T1", "*"), (Role.PASSENGER, "IR_99", "*")],
    "who was IR_01zq": [(Role.PASSENGER, "IR_01zq", "*"), (Role.PASSENGER, "IR_03zq", "*")],
    "who was control": [(Role.ADMIN, "control", "*"), (Role.SERVICE, "feed", "*")],
}
CONTROL = (Role.ADMIN, "control", "*")


def run_of(train_no):
    return {"trainNo": train_no, "startDate": DAY}


def is_passenger(who):
    """True if the caller may read about people: a passenger, about their own bookings."""
    return who is not None and who[0] is Role.PASSENGER and who[2] == "*"


def may_read(who):
    """Return the words that the caller may read: the caller's own."""
    user = who[1] if who else None
    mine = [each for each in EVERYBODY if each["irctcId"] == user]
    words = set().union(*map(words_of, mine)) if is_passenger(who) else {user}
    return words | ({FOR_02} if is_passenger(who) and user == "IR_02zq" else set())


ALL_WORDS = {STAFF_ONLY, FOR_02}.union(*map(words_of, EVERYBODY))


def foreign(text, who):
    """Return the words in the bytes that the caller may not read."""
    return words_in(text, ALL_WORDS - may_read(who))


class Site:
    """A hub, a token for each caller, and each caller's requests with their answers."""

    def __init__(self, hub):
        self.hub = hub
        self._tokens = hub.tokens

    def token(self, who):
        role, user, trains = who
        return self._tokens.issue(user, role, [trains])

    def ask(self, method, path, who=None, body=None, headers=()):
        """Send a request; return the status and every byte of the answer."""
        sent = dict(headers)
        if who is not None:
            sent["Authorization"] = f"Bearer {self.token(who)}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=120)
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        found = str(answer.getheaders()).encode() + answer.read()
        connection.close()
        return answer.status, found

    def order(self, path, body=None, who=CONTROL, method="POST"):
        # A hub that still waits for MongoDB answers 503.
        status, found = wait_for(
            lambda: (each := self.ask(method, path, who, body or {}))[0] != 503 and each
        )
        assert status == 200, (path, found)
        return found

    def offers(self, train_no):
        """Return the ids of a run's open offers."""
        return [
            each["offerId"] for each in asker(self.hub)(f"/api/trains/{train_no}/offers?state=OPEN")
        ]


class Listener:
    """A socket on a thread of its own; `told` has every byte that came, `seen` the types."""

    def __init__(self, site, who):
        self._site = site
        address = f"ws://127.0.0.1:{site.hub.port}/ws"
        self._open = ExitStack()
        self._ws = self._open.enter_context(connect(address, compression=None, max_size=None))
        self.told = str(self._ws.response.headers).encode()
        self.heard = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        self.become(who)

    def _listen(self):
        try:
            while True:
                text = self._ws.recv()
                self.told += text.encode()
                self.heard.append(json.loads(text))
        except ConnectionClosed:
            pass

    def say(self, kind, **fields):
        self._ws.send(json.dumps({"type": kind, **fields}))

    def become(self, who):
        if who is not None:
            self.say("IDENTIFY", token=self._site.token(who))

    def join(self, since=None):
        for train_no in PEOPLE:
            self.say("SUBSCRIBE_TRAIN", **run_of(train_no), since=since)
        return self.catch_up()

    def catch_up(self):
        """Wait until everything told so far has arrived."""
        mark = f"p{len(self.heard)}-{id(self)}"
        self.say("PING", id=mark)
        wait_for(lambda: any(each.get("id") == mark for each in list(self.heard)))
        return self

    @property
    def seen(self):
        return {each["type"] for each in self.heard}

    def close(self):
        self._open.close()
        self._thread.join(PATIENCE)


def everything_happens(site):
    """Cause each type of event on the two runs, and each outcome of an offer."""
    first, second = (f"/api/trains/{train_no}" for train_no in PEOPLE)

    def mark(who, what, body=None, as_user=False, train=first):
        passenger = next(each for each in EVERYBODY if each["pnr"].endswith(f"{who:02}"))
        user = (Role.PASSENGER, passenger["irctcId"], "*") if as_user else CONTROL
        site.order(f"{train}/passengers/{passenger['pnr']}/1/{what}", body, user)

    def withdraw_all():
        while offers := site.offers(FIRST):
            site.order(f"/api/offers/{offers[0]}/withdraw")

    for train in (first, second):
        site.order(f"{train}/start")
    site.order(f"{first}/delay", {"delayMinutes": 5, "reason": "fog"}, method="PUT")
    site.order(f"{first}/platform", {"stationCode": "EEE", "platform": "9"}, method="PUT")
    site.order(f"{first}/announcements", {"text": "mind the gap"})
    site.order(f"{first}/announcements", {"text": STAFF_ONLY, "to": "STAFF"})
    site.order(f"{first}/announcements", {"text": FOR_02, "to": "USER", "user": "IR_02zq"})
    mark(1, "no-show")
    withdraw_all()
    mark(1, "undo-no-show")
    site.order(f"{first}/sign-on", {"coaches": ["S1"]})
    site.order(f"{first}/remarks", {"text": STAFF_ONLY, "coach": "S1"})
    site.order(f"{first}/sign-off")
    for who in (2, 3, 7, 8, 9):
        mark(who, "board")
    mark(4, "no-show")
    for answer, user in (("deny", "IR_07zq"), ("accept", "IR_08zq")):
        (offer,) = site.offers(FIRST)
        phone = Listener(site, (Role.PASSENGER, user, "*"))
        phone.say("ACK", **run_of(FIRST), seq=int(offer.rpartition(".")[2]) + 1)
        phone.catch_up().close()
        site.order(f"/api/offers/{offer}/{answer}", who=(Role.PASSENGER, user, "*"))
    withdraw_all()
    mark(4, "board")  # whose berth is another's by now
    mark(2, "undo-board")
    mark(2, "board")
    withdraw_all()
    mark(1, "no-show")
    withdraw_all()
    sixth = next(each for each in EVERYBODY if each["pnr"].endswith("06"))
    third = next(each for each in EVERYBODY if each["pnr"].endswith("03"))
    lines = [{**sixth, "berth": 66}, {**third, "phone": third["phone"] + "0"}]
    amendment = {"source": "CORRECTION", "passengers": lines}
    site.order(f"{first}/chart", amendment)
    mark(2, "berth", {"coach": "S1", "berth": 68, "reason": "FAMILY", "note": STAFF_ONLY})
    mark(6, "boarding-station", {"stationCode": "BBB"}, as_user=True)
    mark(5, "cancel", as_user=True)
    withdraw_all()
    mark(22, "board", train=second)
    mark(21, "no-show", train=second)
    wait_for(lambda: "EXPIRED" in str(asker(site.hub)(f"/api/trains/{SECOND}/offers")))
    for way, code in (("departures", "AAA"), ("arrivals", "BBB"), ("departures", "BBB")):
        site.order(f"{first}/{way}", {"stationCode": code})
        withdraw_all()
    site.order(f"{first}/skips", {"stationCode": "CCC"})
    for way, code in (("arrivals", "DDD"), ("departures", "DDD")):
        site.order(f"{first}/{way}", {"stationCode": code})
        withdraw_all()
    site.order(f"{first}/undo-report", {"stationCode": "DDD", "report": "DEPARTURE"})
    withdraw_all()
    halt = {"stationCode": "HHH", "name": "HALT", "after": "DDD"}
    site.order(f"{first}/halts", {**halt, "arrival": "12:20", "departure": "12:30"})
    site.order(f"{first}/skips", {"stationCode": "HHH"})
    site.order(f"{first}/cancel", {"reason": "the wrong train"})
    site.order(f"{first}/reinstate")
    withdraw_all()
    site.order(f"{second}/cancel", {"reason": "a flood"})


@pytest.fixture
def site(start_hub):
    """A hub with its own mongod and both runs registered."""
    site = Site(start_hub())
    for train_no, people in PEOPLE.items():
        seconds = {"offerSeconds": 1} if train_no == SECOND else {}
        site.order("/api/trains", chart(*people, **run_of(train_no), **seconds))
    return site


@pytest.fixture
def listen(site):
    """Return a function that opens sockets; close them afterwards."""
    opened = []

    def open_socket(who):
        opened.append(Listener(site, who))
        return opened[-1]

    yield open_socket
    for each in opened:
        each.close()


def addresses():
    """Return each address for reads, with each person if it names a person or a PNR."""
    found = []
    for (method, path), _ in operations().items():
        if method != "GET" or path == "/ws":
            continue
        for train_no, people in PEOPLE.items():
            fields = {"trainNo": train_no, "coach": "S1", "code": "AAA", "file": "monitor.js"}
            for each in people if "{pnr}" in path else people[:1]:
                found.append(path.format(**fields, pnr=each["pnr"], index=each["index"]))
    return [*dict.fromkeys(found), *(f"/api/trains/{t}/events?after=0" for t in PEOPLE)]


def wrong_requests():
    """Return requests about other people's persons, offers and PNRs, which the hub refuses."""
    for each in PEOPLE[FIRST]:
        person = f"/api/trains/{FIRST}/passengers/{each['pnr']}/{each['index']}"
        for what in ("board", "no-show", "undo-no-show", "cancel"):
            yield "POST", f"{person}/{what}", {}
        yield "POST", f"{person}/boarding-station", {"stationCode": "ZZZ"}
        yield "GET", f"/api/trains/{FIRST}/passengers?q={each['pnr']}&coach=S1", None
    for seq in range(1, 90):
        for what in ("accept", "deny", "approve", "withdraw"):
            yield "POST", f"/api/offers/{FIRST}.{DAY}.{seq}/{what}", {}
    yield "POST", f"/api/trains/{FIRST}/marks", {"marks": [{"mark": "X"}]}
    yield "POST", f"/api/trains/{FIRST}/announcements", {"text": "x", "to": "USER", "user": "?"}
    yield "POST", "/api/trains", chart()
    yield "POST", "/api/trains", b"{"


def test_no_caller_reads_about_another(site, listen, browser):
    """No live or replayed event, snapshot, answer, refusal or page has another person's words."""
    staff = listen(CONTROL).join()
    ears = {name: listen(lives[0]).join() for name, lives in LISTENERS.items()}
    for name, lives in LISTENERS.items():
        for life in lives[1:]:
            ears[name].become(life)
            ears[name].catch_up()
    with seen_by(browser, site) as page_saw:
        everything_happens(site)
        page_saw.look()
    epoch = next(each["epoch"] for each in staff.heard if each["type"] == "SUBSCRIBED")
    site.order(f"/api/trains/{FIRST}/arrivals", {"stationCode": "EEE"})
    seen = staff.catch_up().seen
    for name, ear in ears.items():
        who = LISTENERS[name][-1]
        told = ear.catch_up().told
        if len(LISTENERS[name]) > 1:  # only bytes since the last change of identity
            told = told[told.rindex(b'"IDENTIFIED"') :]
            assert b'"SNAPSHOT"' in told
        assert not foreign(told, who), f"{name} heard it"
        if not is_passenger(who):  # a berth alone names no person
            assert not re.search(rb'"(berth|pnr|passengers|offers)":', told), name
        seen |= ear.seen
        for since in (None, {"epoch": epoch, "seq": 0}):
            back = listen(who).join(since)
            assert not foreign(back.told, who), f"{name} was told again, since {since}"
            assert since is None or {"JOURNEY_STARTED", "DELAY_UPDATE"} <= back.seen
            seen |= back.seen
            back.close()
    # Every event for a passenger; test_privacy.py has all others too.
    missing = {kind for kind, who in HEARD.items() if who in ("both", "user")} - seen
    assert not missing, f"{missing} did not happen"
    assert ALL_WORDS - {FOR_02} <= words_in(
        staff.told, ALL_WORDS
    )  # the words that are searched for do exist
    assert FOR_02.encode() in ears["IR_02zq"].told
    assert not foreign(page_saw.bytes, None), "the page was told"
    assert b"JOURNEY_STARTED" in page_saw.bytes
    readers = {json.dumps(lives[-1]): lives[-1] for lives in LISTENERS.values()}.values()
    asked = 0
    for who in readers:
        for path in [*addresses(), "/metrics"]:
            status, found = site.ask("GET", path, who)
            assert status < 500, path
            assert not foreign(found, who), f"{who} read {path}"
            asked += 1
    for who in (None, *list(readers)[:3], *list(readers)[-5:]):
        for method, path, body in wrong_requests():
            status, found = site.ask(method, path, who, body)
            assert status < 500, path
            assert not foreign(found, who), f"{who} was refused {path} so"
            asked += 1
    print(f"{len(ears)} listeners, {asked} requests, {len(ALL_WORDS)} words")


class seen_by:  # noqa: N801 (it reads as words)
    """The monitor page with a run open: all bytes of its traffic, and its text."""

    def __init__(self, browser, site):
        self._browser, self._site = browser, site
        self.bytes = b""

    def __enter__(self):
        self._context = new_context(self._browser)
        self._page = self._context.new_page()
        self._page.on("websocket", lambda ws: ws.on("framereceived", self._keep))
        self._answers = []
        self._page.on("response", lambda answer: self._answers.append(answer))
        self._page.goto(self._site.hub.url)
        self._page.get_by_role("button", name=FIRST).click()
        return self

    def _keep(self, frame):
        self.bytes += frame if isinstance(frame, bytes) else frame.encode()

    def look(self):
        """Record the page's text, once it has followed the run."""
        self._page.wait_for_function("document.body.textContent.includes('Left')")
        self.bytes += self._page.content().encode()
        for each in self._answers:
            if "/ws" not in each.url and each.ok:
                self.bytes += str(each.all_headers()).encode() + each.body()

    def __exit__(self, *_):
        self._context.close()


# --- the log, and the files -----------------------------------------------------------------------


def in_log(text):
    """Return the words of people in a log, except the user, which is an id."""
    people = set().union(*(words_of(each) - {each["irctcId"]} for each in EVERYBODY))
    return words_in(text, people | {STAFF_ONLY, FOR_02})


def test_the_log_and_the_files_keep_to_themselves(site, tmp_path):
    """Neither log has a word about a person, also after failures; files are the owner's only.

    Every e-mail and push fails since the outbox is not writable, and MongoDB refuses a document.
    """
    hub = site.hub
    outbox = hub.folder / "outbox"
    outbox.rename(tmp_path / "outbox away")
    outbox.write_text("not a folder")
    everything_happens(site)
    for method, path, body in wrong_requests():
        site.ask(method, path, None, body)

    wait_for(lambda: asker(hub)("/api/monitor")["notifications"]["retried"] > 20, 120)
    wait_for(lambda: behind(hub.folder) < 10_000)
    for folder, _, names in os.walk(hub.folder):
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            mode = path.lstat().st_mode
            assert path == outbox or not mode & 0o077, f"{path} is {mode & 0o777:o}"
    assert hub.stop() == 0
    logged = "\n".join([*hub.said, *hub.logged])
    assert "notifications are not sent" in logged, "nothing failed: this proves little"
    assert not in_log(logged.encode())
    assert "eyJ" not in logged, "a token"
    logs = [path for path in hub.folder.rglob("*.log*") if path.is_file()]
    assert logs, "mongod has a log"
    for path in logs:
        assert not in_log(path.read_bytes()), path.name
