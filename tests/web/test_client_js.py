"""static/trainhub.js in Node and Chromium: it reconnects, misses nothing, repeats nothing."""

import json
import os
import re
import subprocess
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from random import Random
from urllib.request import urlopen

import pytest
from false_hub import RUN, FalseHub, event, goodbye, next_run
from faulty_link import FaultyLink
from load import admin_token
from node import JS
from railway import chart
from waiting import PATIENCE, wait_for

from trainhub.access.identity import Tokens
from trainhub.access.keys import load_keys
from trainhub.domain.model import Role

TSC = JS / "node_modules" / "typescript" / "bin" / "tsc"
QUICK = {"backoffFirstMs": 10, "backoffMostMs": 100}
MARK = {"pnr": "4512345601", "index": 1}


@pytest.fixture
def client(node):
    """A client of trainhub.js in Node."""
    bridge = Bridge(node)
    yield bridge
    bridge.end()


class Bridge:
    """A process of tests/js/bridge.mjs. `told` has what the client reported so far."""

    def __init__(self, node):
        self.told = []
        self._asked = 0
        self._process = subprocess.Popen(
            [node, str(JS / "bridge.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NODE_ENV": "test"},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self.told.append(json.loads(line))

    def call(self, name, **values):
        self._process.stdin.write(json.dumps({"call": name, **values}) + "\n")
        self._process.stdin.flush()

    def connect(self, url, *tokens, **options):
        self.call("connect", url=url, tokens=tokens, **{"timing": QUICK, **options})

    def ask(self, name, **values):
        """Call a function that returns a promise; return a function that waits for its end."""
        self._asked += 1
        number = self._asked
        self.call(name, n=number, **values)

        def end():
            return wait_for(lambda: next(iter(self.ends(number)), None))

        return end

    def command(self, kind, options=None, **fields):
        fields = {**RUN, **fields}
        return self.ask("command", type=kind, fields=fields, options=options or {})

    def ends(self, number):
        return [each for each in self.of("answer") if each["n"] == number]

    def of(self, told):
        return [each for each in self.told if each["told"] == told]

    def events(self, kind=None):
        events = [each["message"] for each in self.of("event")]
        return [each for each in events if kind in (None, each["type"])]

    def states(self):
        return [each["state"] for each in self.of("state")]

    def wait(self, condition):
        wait_for(condition)

    def end(self):
        self.call("close")
        self._process.stdin.close()
        self._process.wait(PATIENCE)  # nothing of a closed client keeps Node alive
        self._reader.join(PATIENCE)
        errors = self._process.stderr.read()
        self._process.stdout.close()
        self._process.stderr.close()
        assert not errors


def address(hub):
    return f"{hub.url.replace('http', 'ws')}/ws"


def tte(hub):
    return hub.tokens.issue("T1", Role.TTE, ["12345"])


def log_of(hub, kind):
    return [e for e in hub.ask("/api/trains/12345/events?after=0") if e["type"] == kind]


def test_kill_9_of_the_hub_loses_and_doubles_nothing(client, start_again):
    """Each event comes once and in order, and each command happens once, over kill -9."""
    hub = start_again()
    client.connect(address(hub), tte(hub))
    client.call("subscribe", train="12345")
    asked = [client.command("ANNOUNCE", text=str(number)) for number in range(120)]
    for enough in (30, 70):
        client.wait(lambda enough=enough: len(client.events("ANNOUNCEMENT")) >= enough)
        hub.kill()
        hub = start_again()
    results = [each()["result"] for each in asked]
    client.wait(lambda: len(client.events("ANNOUNCEMENT")) >= 120)
    heard, logged = client.events("ANNOUNCEMENT"), log_of(hub, "ANNOUNCEMENT")
    assert [each["data"]["text"] for each in heard] == [str(number) for number in range(120)]
    assert [each["seq"] for each in heard] == [each["seq"] for each in logged]
    assert [each["seq"] for each in results] == [each["seq"] for each in logged]
    assert len(client.of("answer")) == 120  # each promise settled once


def test_marks_asked_while_the_hub_is_away_happen_once_and_in_order(client, start_again):
    """Marks wait until the hub is back."""
    hub = start_again()
    client.connect(address(hub), tte(hub))
    client.wait(lambda: "live" in client.states())
    hub.kill()
    client.wait(lambda: client.states()[-1] == "waiting")
    marks = ("MARK_NO_SHOW", "UNDO_NO_SHOW", "MARK_BOARDED")
    asked = [client.command(mark, **MARK) for mark in marks]
    hub = start_again()
    assert all("result" in each() for each in asked)
    kinds = ("NO_SHOW", "NO_SHOW_UNDONE", "PASSENGER_BOARDED")
    assert [len(log_of(hub, kind)) for kind in kinds] == [1, 1, 1]


@pytest.mark.soak
def test_the_shipped_defaults_notice_a_dead_link_and_leave_a_healthy_one(node, start_again):
    """On a quiet train a link that falls silent, in either direction, is replaced within 40 s."""
    hub = start_again()
    with ExitStack() as stack:
        links, clients, lost = {}, {}, {}
        for way in ("up", "down", "both", "none"):
            links[way] = stack.enter_context(FaultyLink(hub.port))
            clients[way] = Bridge(node)
            stack.callback(clients[way].end)
            clients[way].connect(links[way].url, timing={})
            clients[way].call("subscribe", train="12345")
        wait_for(lambda: all(each.of("figures") for each in clients.values()))
        for way, link in links.items():
            link.silent_up, link.silent_down = way in ("up", "both"), way in ("down", "both")
        began = time.monotonic()
        while time.monotonic() - began < 45 or len(lost) < 3:
            assert time.monotonic() - began < 100, lost
            for way, each in clients.items():
                if "waiting" in each.states():
                    lost.setdefault(way, time.monotonic() - began)
            time.sleep(0.05)
    assert lost.keys() == {"up", "down", "both"}
    assert max(lost.values()) < 40 + 10  # the machine may be busy


def test_a_snapshot_that_is_cut_on_its_way_is_asked_for_again(client, start_again):
    """The client asks for the SNAPSHOT again, since a TTE needs it for the list of passengers."""
    hub = start_again()
    with FaultyLink(hub.port, cut_in='"recovered":false') as link:
        client.connect(link.url, tte(hub))
        client.call("subscribe", train="12345")
        client.wait(lambda: client.of("snapshot"))
        assert link.has_cut
    assert client.of("snapshot")[0]["message"]["run"]["passengers"]
    assert not client.events()


def test_a_train_that_is_registered_later(client, start_again):
    """A client that subscribes earlier gets an error, and the train once it is registered."""
    hub = start_again()
    client.connect(address(hub))
    client.call("subscribe", train="54321")
    client.wait(lambda: client.of("error"))
    hub.ask("/api/trains", chart(trainNo="54321"))
    client.wait(lambda: client.of("snapshot"))
    told = [(each["code"], each["final"]) for each in client.of("error")]
    assert told == [("UNKNOWN_TRAIN", False)]


def test_a_link_that_is_cut_again_and_again(client, start_again):
    """With a real hub each event comes once and in order, and each command happens once."""
    hub, chance = start_again(), Random(1)
    with FaultyLink(hub.port) as link:
        client.connect(link.url, tte(hub))
        client.call("subscribe", train="12345")
        asked = []
        for number in range(150):
            asked.append(client.command("ANNOUNCE", text=str(number)))
            time.sleep(0.02)
            if chance.random() < 0.15:
                link.cut()
        results = [each()["result"] for each in asked]
        client.wait(lambda: client.events()[-1]["data"]["text"] == "149")
    heard, logged = client.events("ANNOUNCEMENT"), log_of(hub, "ANNOUNCEMENT")
    assert [each["data"]["text"] for each in logged] == [str(number) for number in range(150)]
    assert [each["seq"] for each in results] == [each["seq"] for each in logged]
    seqs = [each["seq"] for each in heard]
    assert seqs == [each["seq"] for each in logged if each["seq"] >= seqs[0]]


def run_node(node, script, *arguments):
    command = (node, str(JS / script), *arguments)
    return subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_day_on_a_faulty_link(node, seed):
    """In 24 hours of simulated time nothing is missed or repeated, and dead links are noticed."""
    done = run_node(node, "day.mjs", seed)
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0 < json.loads(done.stdout)["longestSeconds"] <= 116


@pytest.mark.parametrize(
    "name", ["pairs", "defaults", "slow", "wall", "freeze", "sleep", "network", "handlers"]
)
def test_a_rule_about_time(node, name):
    """tests/js/clock.mjs states each rule."""
    done = run_node(node, "clock.mjs", name)
    assert done.returncode == 0, done.stderr[-2000:]


def test_marks_of_one_are_never_anothers(client, start_again, unused_port):
    """A tablet starts without a network, and its next user logs in with the same storage."""
    hub = start_again()
    keys = load_keys(hub.folder / "keys.json")
    first, second = (Tokens(keys).issue(who, Role.TTE, ["12345"]) for who in ("T1", "T2"))
    hub.kill()
    now = time.time() * 1000
    message = {"type": "MARK_BOARDED", "key": "unknown", **RUN, **MARK}
    entry = {"message": message, "user": None, "askedAt": now, "until": now + 3_600_000}
    client.connect(address(hub), first, stored={"trainhub:unknown": json.dumps(entry)})
    client.command("ANNOUNCE", {"key": "known"}, text="of T1")
    client.call("waiting")
    client.wait(lambda: client.of("waiting"))
    entries = client.of("waiting")[0]["entries"]
    assert {each["key"]: each["user"] for each in entries} == {"unknown": None, "known": "T1"}
    stored = client.of("waiting")[0]["stored"]
    client.call("close")  # else it may be quicker than the second user
    hub = start_again()
    client.connect(address(hub), second, stored=stored)
    assert "result" in client.command("ANNOUNCE", text="of T2")()
    client.wait(lambda: client.of("complaint"))
    assert sorted(client.of("complaint")[-1]["details"]["keys"]) == ["known", "unknown"]
    assert [each["data"]["text"] for each in log_of(hub, "ANNOUNCEMENT")] == ["of T2"]
    assert not log_of(hub, "PASSENGER_BOARDED")
    client.call("claim", key="unknown")
    client.call("discard", key="known")
    client.wait(lambda: log_of(hub, "PASSENGER_BOARDED"))
    assert client.ask("identify", token=first)()["result"]["user"] == "T1"
    assert "result" in client.command("ANNOUNCE", text="again T1")()
    said = [each["data"]["text"] for each in log_of(hub, "ANNOUNCEMENT")]
    assert said == ["of T2", "again T1"]


def test_two_identifies_at_once(client, start_again):
    """The later one counts; the earlier one fails with SUPERSEDED, or has its own user."""
    hub = start_again()
    keys = load_keys(hub.folder / "keys.json")
    client.connect(address(hub), tte(hub))
    client.wait(lambda: "live" in client.states())
    ends = [
        client.ask("identify", token=Tokens(keys).issue(who, Role.TTE, ["12345"]))
        for who in ("T2", "T3")
    ]
    mark = client.command("ANNOUNCE", text="x")
    earlier = ends[0]()
    if "error" in earlier:
        assert earlier["error"]["code"] == "SUPERSEDED"
    else:  # its answer came before the later one was asked
        assert earlier["result"]["user"] == "T2"
    assert ends[1]()["result"]["user"] == "T3"
    assert "result" in mark()

    def users():
        return [e["user"] for e in hub.ask("/api/audit") if e["command"] == "ANNOUNCE"]

    assert wait_for(users) == ["T3"]


@pytest.mark.made_up
@pytest.mark.parametrize("stumble", ["throw", "reject"])
def test_a_handlers_own_error_takes_nothing_with_it(client, stumble):
    """A handler that throws or rejects is reported; Node and the connection go on."""
    with FalseHub((event(1), event(2))) as hub:
        client.connect(hub.url)
        client.call("subscribe", train="12345", stumble=stumble)
        client.wait(lambda: [each["seq"] for each in client.events()] == [1, 2])
        assert client.command("ANNOUNCE", text="x")()["result"] == {"seq": 1}
    assert {each["message"] for each in client.of("fault")} == {"an app's own"}


@pytest.mark.made_up
@pytest.mark.parametrize(
    "odd", ["not json", "[]", "null", "{}", '{"type": "SNAPSHOT", "trainNo": 5}', b"\xff"]
)
def test_a_message_that_is_not_the_protocols(client, odd):
    """It is reported or ignored, and later messages are not missed."""
    with FalseHub((event(1), odd, event(2)), (event(2), event(3))) as hub:
        client.connect(hub.url)
        client.call("subscribe", train="12345")
        client.wait(lambda: [each["seq"] for each in client.events()][:2] == [1, 2])
    assert {each["code"] for each in client.of("complaint")} <= {"BROKEN"}


def test_what_the_hub_refuses_is_an_error_with_its_code(client, start_again):
    """Commands and subscriptions fail with code, message and details; the client goes on."""
    hub = start_again()
    client.connect(address(hub), admin_token(hub))
    error = client.command("ARRIVE", stationCode="EEE")()["error"]
    assert (error["code"], error["details"]["next"]) == ("CONFLICT", "AAA")
    assert error["message"]
    client.call("subscribe", train="99999")
    client.wait(lambda: [each["code"] for each in client.of("error")] == ["UNKNOWN_TRAIN"])
    error = client.command("ANNOUNCE", text="x" * 70_000)()["error"]
    assert error["code"] == "BAD_MESSAGE"
    assert "result" in client.command("ANNOUNCE", text="on it goes")()


def test_a_refused_token_is_not_sent_again(client):
    """The client asks a function for a fresh token; with a text it waits for `identify`."""
    with FalseHub((), (4403,), refused=("old",)) as hub:
        client.connect(hub.url, "old", "new")
        client.call("subscribe", train="12345")
        client.wait(lambda: "refused" in client.states())  # by 4403; "new" is the last token
        assert client.ask("identify", token="newer")()["result"]["user"] == "T1"
        assert client.command("ANNOUNCE", text="x")()["result"] == {"seq": 1}
    assert [each["token"] for each in hub.said("IDENTIFY")] == ["old", "new", "newer"]


def test_identify_without_a_token_logs_out(client, start_again):
    """`identify()` logs out: the snapshot is the public one, and commands are refused."""
    hub = start_again()
    client.connect(address(hub), tte(hub))
    client.call("subscribe", train="12345")
    shown = lambda: [each["message"]["run"].keys() for each in client.of("snapshot")]  # noqa: E731
    client.wait(lambda: any("passengers" in run for run in shown()))
    assert client.ask("identify")()["result"]["user"] is None
    client.wait(lambda: len(shown()) == 2 and "passengers" not in shown()[-1])
    assert client.command("START_JOURNEY")()["error"]["code"] == "NOT_IDENTIFIED"


def test_goodbye_is_honoured(client):
    """The client comes back, and not before the hub's retryAfterMs is over."""
    with FalseHub((goodbye(700), 1001)) as hub:
        client.connect(hub.url)
        client.call("subscribe", train="12345")
        client.wait(lambda: len(hub.said("SUBSCRIBE_TRAIN")) == 2)
        assert hub.opened[1] - hub.closed[0] >= 0.69


def test_older_seqs_are_dropped(client):
    """A seq that was seen is not told again, over a reconnect too."""
    first = (event(3), event(2), event(3), 1001)
    second = (event(3), event(7), event(7), event(8))
    with FalseHub(first, second) as hub:
        client.connect(hub.url)
        client.call("subscribe", train="12345")
        client.wait(lambda: [each["seq"] for each in client.events()] == [3, 7, 8])
    assert hub.said("SUBSCRIBE_TRAIN")[1]["since"] == {"epoch": "e1", "seq": 3}


@pytest.mark.parametrize("train", ["12345", RUN])
def test_the_next_run_is_told(client, train):
    """NEXT_RUN has its own handler. A reconnect asks for it, unless the app named the date."""
    with FalseHub((next_run("2026-11-24"), 1001)) as hub:
        client.connect(hub.url)
        client.call("subscribe", train=train)
        client.wait(lambda: len(hub.said("SUBSCRIBE_TRAIN")) == 2)
    told = [each["message"]["data"]["startDate"] for each in client.of("nextRun")]
    assert told == ["2026-11-24"]
    assert client.of("figures") == []
    asked = [each.get("nextRun") for each in hub.said("SUBSCRIBE_TRAIN")]
    assert asked == [None, True if train == "12345" else None]


@pytest.mark.parametrize("role", ["PASSENGER", "TTE"])
def test_a_passenger_s_app_acknowledges_what_asks_for_it(client, role):
    """Once each, as soon as the app has it; an ERROR for it has no effect."""
    told = (event(3), event(4, ack=True), event(4, ack=True), event(5, "UPGRADE_OFFER", ack=True))
    with FalseHub(told, role=role) as hub:
        client.connect(hub.url, "good")
        client.call("subscribe", train="12345")
        client.wait(lambda: [each["seq"] for each in client.events()] == [3, 4, 5])
        client.command("ANNOUNCE", text="x")()
    expected = [{"type": "ACK", **RUN, "seq": seq} for seq in (4, 5)]
    assert hub.said("ACK") == (expected if role == "PASSENGER" else [])


def test_what_the_hub_would_take_later_is_asked_again_in_order(client):
    """After RATE_LIMITED and UNAVAILABLE the client sends the same command under the same key."""
    with FalseHub(later=2) as hub:
        client.connect(hub.url)
        asked = [client.command("ANNOUNCE", text=text) for text in "ab"]
        assert all("result" in each() for each in asked)
    said = hub.said("ANNOUNCE")
    assert [each["text"] for each in said] == ["a", "a", "a", "b"]
    assert len({each["key"] for each in said}) == 2


def test_a_silent_hub_is_given_up(client, start_again):
    """A frozen hub keeps its sockets open: the client sends a PING, and then reconnects."""
    hub = start_again()
    client.connect(address(hub), timing={**QUICK, "answerMs": 300})
    client.wait(lambda: "live" in client.states())
    hub.freeze()
    client.call("check")
    client.wait(lambda: "waiting" in client.states())
    hub.thaw()
    client.wait(lambda: client.states()[-1] == "live")


def test_a_full_queue_and_a_lapsed_command_say_so(client, unused_port):
    """A command fails with QUEUE_FULL at once, or with LAPSED when its time is over."""
    client.connect(f"ws://127.0.0.1:{unused_port}", mostWaiting=1)
    first = client.command("ACCEPT_OFFER", {"withinMs": 300}, offerId="x")
    assert client.command("ACCEPT_OFFER", offerId="y")()["error"]["code"] == "QUEUE_FULL"
    assert first()["error"]["code"] == "LAPSED"


PLAIN_WS = """
import WebSocket from 'ws';
const [url, token] = process.argv.slice(-2);
const socket = new WebSocket(url);
const seen = [];
socket.on('open', () => {
  const run = { trainNo: '12345' };
  const said = [{ type: 'IDENTIFY', token }, { type: 'SUBSCRIBE_TRAIN', ...run }, { type: 'ANNOUNCE', ...run, text: 'x' }];
  for (const each of said) socket.send(JSON.stringify(each));
});
socket.on('message', (data) => {
  seen.push(JSON.parse(data).type);
  if (seen.includes('ANNOUNCEMENT')) { console.log(seen.join(' ')); socket.close(); }
});
"""  # noqa: E501 - JavaScript has its own width


def test_plain_ws_speaks_to_it(node, start_again):
    """A plain WebSocket library can identify, subscribe, and hear an event."""
    hub = start_again()
    command = (node, "--input-type=module", "-e", PLAIN_WS, address(hub), admin_token(hub))
    done = subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("WELCOME IDENTIFIED SUBSCRIBED SNAPSHOT"), done.stderr


PLAIN_BROWSER = """
([token]) => new Promise((done) => {
  const socket = new WebSocket(`ws://${location.host}/ws`, ['trainhub.v1', `bearer.${token}`]);
  const seen = [];
  socket.onopen = () => {
    const run = { trainNo: '12345' };
    for (const each of [{ type: 'SUBSCRIBE_TRAIN', ...run }, { type: 'ANNOUNCE', ...run, text: 'x' }]) {
      socket.send(JSON.stringify(each));
    }
  };
  socket.onmessage = ({ data }) => {
    seen.push(JSON.parse(data).type);
    if (seen.includes('ANNOUNCEMENT')) { socket.close(); done(seen); }
  };
})
"""  # noqa: E501


def test_the_hub_s_time_and_the_identity(client, start_hub):
    """Both are the hub's: its time, also of a demo's fast clock, and the end of the token."""
    hub = start_hub("--demo", "--demo-speed", "600")
    client.connect(f"{hub.url}/ws", admin_token(hub))
    client.wait(lambda: "live" in client.states())
    time.sleep(1.5)  # two times of the hub show its speed
    client.call("check")
    with urlopen(f"{hub.url}/api/monitor", timeout=PATIENCE) as answer:
        before = datetime.fromisoformat(json.load(answer)["hubTime"]).timestamp()

    def follows():
        client.call("now")
        wait_for(lambda: client.of("now"))
        return client.of("now")[-1]["now"] / 1000 > before + 1200  # two real seconds

    wait_for(follows)
    identity = client.of("now")[-1]["identity"]
    assert (identity["user"], identity["role"], identity["trains"]) == ("control", "ADMIN", ["*"])
    assert datetime.fromisoformat(identity["expiresAt"]).tzinfo is not None
    with urlopen(f"{hub.url}/api/monitor", timeout=PATIENCE) as answer:
        after = datetime.fromisoformat(json.load(answer)["hubTime"]).timestamp()
    assert client.of("now")[-1]["now"] / 1000 < after + 1200


def test_the_fleet_over_a_restart(client, start_again):
    """The handler has all figures as they are now, also after the hub was killed; without token."""
    hub = start_again()
    client.connect(f"{hub.url}/ws")
    client.call("fleet")

    def shows(**fields):
        told = client.of("fleet")
        trains = told[-1]["figures"]["trains"] if told else []
        return len(trains) == 1 and fields.items() <= trains[0].items()

    client.wait(lambda: shows(status="RUNNING", delayMinutes=0))
    hub.ask("/api/trains/12345/delay", {"delayMinutes": 20}, "PUT")
    client.wait(lambda: shows(trainName="TEST EXP", delayMinutes=20))
    hub.kill()
    hub = start_again()
    hub.ask("/api/trains/12345/delay", {"delayMinutes": 30}, "PUT")
    client.wait(lambda: shows(trainName="TEST EXP", delayMinutes=30))
    client.call("leaveFleet")
    answered = client.command("PING")  # no command: the hub refuses it, after UNSUBSCRIBE_FLEET
    assert "error" in answered()
    heard = len(client.of("fleet"))
    time.sleep(2.5)  # two turns
    assert len(client.of("fleet")) == heard


def test_chromiums_own_socket_speaks_to_it(page, start_again):
    """A browser sends the token as a subprotocol."""
    hub = start_again()
    page.goto(hub.url)
    seen = page.evaluate(PLAIN_BROWSER, [admin_token(hub)])
    assert seen[:4] == ["WELCOME", "IDENTIFIED", "SUBSCRIBED", "SNAPSHOT"]


def test_the_monitor_page_follows_a_run_over_kill_9(page, start_again):
    """Its list has each public event once, newest first; no console error while the hub is up."""
    hub = start_again()
    page.goto(hub.url)
    page.click("button:has-text('TEST EXP')")
    page.wait_for_selector(".follow:has-text('live')")
    hub.ask("/api/trains/12345/announcements", {"text": "before"})
    page.wait_for_selector(".events li:has-text('before')")
    assert page.complaints == []
    hub.kill()
    page.wait_for_selector(".follow:has-text('trying again')")
    hub = start_again()
    hub.ask("/api/trains/12345/announcements", {"text": "after"})
    page.wait_for_selector(".events li:has-text('after')")
    lines = page.locator(".events li").all_inner_texts()
    known = ("after", "before", "Journey started", "Chart loaded")
    assert [next(each for each in known if each in line) for line in lines] == list(known)


OPEN = """
async ([token, backoffMs]) => {
  const { connect } = await import('/static/trainhub.js');
  const timing = { backoffFirstMs: backoffMs, backoffMostMs: backoffMs };
  window.hub = connect('/ws', { token, storage: localStorage, timing });
  window.ends = hub.waiting.map(({ answer }) => answer);
  return hub.waiting.map(({ type }) => type);
}
"""
DAYS_MS = 2_000_000_000


def test_a_reload_keeps_the_marks_that_wait(page, start_again):
    """Marks of a page that reloads while the hub is away happen once, in order."""
    hub = start_again()
    token = tte(hub)
    page.goto(hub.url)
    # This page's backoff is too long for it to send the marks itself.
    assert page.evaluate(OPEN, [token, DAYS_MS]) == []
    wait_for(lambda: page.evaluate("hub.state") == "live")
    hub.kill()
    wait_for(lambda: page.evaluate("hub.state") == "waiting")
    marks = ["MARK_NO_SHOW", "UNDO_NO_SHOW", "MARK_BOARDED"]
    ask = "([marks, fields]) => { for (const mark of marks) hub.command(mark, fields); }"
    page.evaluate(ask, [marks, {**RUN, **MARK}])
    hub = start_again()
    page.reload()
    assert page.evaluate(OPEN, [token, 100]) == marks
    assert len(page.evaluate("Promise.all(ends)")) == 3
    assert page.evaluate("[hub.waiting.length, localStorage.length]") == [0, 0]
    kinds = ("NO_SHOW", "NO_SHOW_UNDONE", "PASSENGER_BOARDED")
    assert [len(log_of(hub, kind)) for kind in kinds] == [1, 1, 1]


COUNT_PINGS = """
async () => {
  const send = WebSocket.prototype.send;
  window.pings = 0;
  WebSocket.prototype.send = function (text) {
    window.pings += JSON.parse(text).type === 'PING';
    send.call(this, text);
  };
  const { connect } = await import('/static/trainhub.js');
  window.hub = connect('/ws');
}
"""


def test_a_page_that_wakes_or_whose_network_changes_asks_at_once(page, start_again):
    """Chromium takes the network away and gives it back; it cannot freeze a visible page."""
    page.goto(start_again().url)
    page.evaluate(COUNT_PINGS)
    wait_for(lambda: page.evaluate("hub.state") == "live")
    page.context.set_offline(True)
    wait_for(lambda: page.evaluate("pings") > 0)
    page.context.set_offline(False)
    wait_for(lambda: page.evaluate("hub.state") == "live")
    for target, *names in (
        ("document", "visibilitychange"),
        ("window", "pageshow"),
        ("document", "freeze", "resume"),
    ):
        before = page.evaluate("pings")

        def asks(target=target, names=names, before=before):
            for name in names:
                page.evaluate(f"{target}.dispatchEvent(new Event('{name}'))")
            return page.evaluate("pings") > before

        wait_for(asks)  # once more while a PING is on its way
    assert page.evaluate("hub.state") == "live"


# --- its types ----------------------------------------------------------------------------------


def rejected(node, name):
    """Return the lines of a file of tests/js that tsc rejects, and the output."""
    strict = ("--strict", "--noEmit", "--module", "nodenext", "--target", "es2022")
    done = subprocess.run((node, TSC, *strict, name), cwd=JS, capture_output=True, text=True)
    found = re.findall(r"^(\S+)\((\d+),\d+\): error", done.stdout, re.MULTILINE)
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return {(file, int(line)) for file, line in found}, done.stdout


def test_the_types_accept_an_app(node):
    """The compiler accepts each command with its fields and answer, and each event's data."""
    found, told = rejected(node, "right.ts")
    assert not found, told


def test_the_types_reject_mistakes(node):
    """The compiler rejects a wrong name, field, type or value in commands, events and answers."""
    lines = (JS / "wrong.ts").read_text().splitlines()
    wrong = {("wrong.ts", at) for at, line in enumerate(lines, 1) if "// wrong: " in line}
    found, told = rejected(node, "wrong.ts")
    assert found == wrong, told
