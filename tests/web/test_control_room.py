"""static/monitor.html: the control room's views in Chromium, over a hub at default settings."""

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from chromium import fits
from faulty_link import BelowPath
from load import admin_token, asker
from playwright.sync_api import expect
from railway import chart, make_an_offer, person, rac
from waiting import PATIENCE, wait_for
from websockets.exceptions import ConnectionClosed
from witness import connect

from trainhub.domain.model import Role

HOSTILE = '<img src=x onerror="document.title=1">'
TRAIN = {"trainNo": "12345"}
WIDTHS = (360, 768, 1280)


@pytest.fixture
def hub(start_again):
    """A hub whose train 12345 stands at AAA."""
    return start_again()


# --- the board of a station ----------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_the_board_of_a_station(hub, page, width):
    """It shows what is due there: the way, the times, the platform and the delay."""
    hub.ask("/api/trains/12345/delay", {"delayMinutes": 20}, "PUT")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{hub.url}/#station=BBB")
    row = page.locator("[data-is=boardRows] tr")
    row.wait_for()
    text = " ".join(row.inner_text().split())
    for word in ("12345 TEST EXP", "STATION AAA", "STATION EEE", "10:00", "10:20", "10:30", "2"):
        assert word in text
    assert page.locator("[data-is=boardTitle]").inner_text() == "STATION BBB"
    assert fits(page)
    assert not page.locator(".fleet").is_visible()
    assert page.complaints == []


def test_the_board_by_its_form_and_on_a_big_screen(hub, page):
    """A code is enough. The big screen has the board alone, until Esc; the link keeps both."""
    page.goto(hub.url)
    page.get_by_role("link", name="Stations").click()
    page.get_by_label("Station", exact=True).fill("ccc")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_selector("[data-is=boardTitle]:has-text('STATION CCC')")
    wait_for(lambda: page.url.endswith("#station=CCC"))
    page.get_by_role("button", name="Big screen").click()
    page.locator(".link").wait_for(state="hidden")
    assert page.url.endswith("#station=CCC&screen=big")
    page.reload()
    page.wait_for_selector("[data-is=boardTitle]:has-text('STATION CCC')")
    assert not page.locator(".link").is_visible()
    page.keyboard.press("Escape")
    page.locator(".link").wait_for()
    page.get_by_role("link", name="12345 TEST EXP").click()
    page.wait_for_selector(".details h2:has-text('12345')")
    page.go_back()
    page.wait_for_selector("[data-is=boardTitle]:has-text('STATION CCC')")
    assert page.complaints == []


def test_a_train_that_ends_early_is_on_the_board(hub, page):
    """Where it ends now, its booked departure is struck out."""
    hub.ask("/api/trains/12345/short-terminate", {"stationCode": "DDD"})
    page.goto(f"{hub.url}/#station=DDD")
    page.wait_for_selector("[data-is=boardRows] .goes s")
    assert page.locator("[data-is=boardRows] .goes b").count() == 0


def test_the_board_says_what_is_wrong(hub, page):
    """An unknown code is told; a hub that does not answer leaves the last times, marked as old."""
    page.goto(f"{hub.url}/#station=ZZZ")
    page.wait_for_selector("[data-is=boardNews]:has-text('no run here has that station')")
    page.goto(f"{hub.url}/#station=BBB")
    page.wait_for_selector("[data-is=boardRows] tr")
    hub.kill()
    page.wait_for_selector(".board[data-state=old] [data-is=boardNews]:has-text('does not answer')")
    assert page.locator("[data-is=boardRows] tr").count() == 1


def test_hostile_names_on_the_board(hub, page):
    """Names of trains and stations are text, whatever they contain."""
    stations = chart()["stations"]
    stations[1]["name"] = stations[4]["name"] = HOSTILE
    hostile = chart(person(1), trainNo="666", trainName=HOSTILE, stations=stations)
    hub.ask("/api/trains", hostile)
    hub.ask("/api/trains/666/start", {})
    page.goto(f"{hub.url}/#station=BBB")
    wait_for(lambda: page.locator("[data-is=boardRows] tr").count() == 2)
    assert HOSTILE in page.locator("[data-is=boardRows]").inner_text()
    assert page.title() != "1"
    assert page.locator(".board img").count() == 0
    assert page.complaints == []


# --- what needs attention ------------------------------------------------------------------------


def attention(page):
    """Return the sentences under "Needs attention"."""
    lines = page.locator("[data-is=attentionList] li").all_inner_texts()
    return [line.replace("\xa0", " ") for line in lines]


def says(page, *words):
    """Return whether one sentence has all the words."""
    return any(all(word in line for word in words) for line in attention(page))


def test_what_needs_attention(hub, page):
    """Overdue trains, trains without a TTE and unseen offers are sentences that lead there."""
    people = (person(1), rac(10, 1))
    hub.ask("/api/trains", chart(*people, trainNo="7", policy="OFFER", offerSeconds=100))
    hub.ask("/api/trains/7/start", {})
    hub.ask("/api/trains/7/passengers/4512345610/1/board", {})
    hub.ask("/api/trains/7/passengers/4512345601/1/no-show", {})
    page.goto(f"{hub.url}/#token={admin_token(hub)}")
    wait_for(lambda: says(page, "7: the offer of S1-1 to Person 10", "no device has it"))
    assert says(page, "12345 TEST EXP", "departure from STATION AAA was due at 23 Nov 09:10")
    assert says(page, "12345 TEST EXP", "no TTE is online")
    assert page.locator("[data-is=allWell]").is_hidden()
    assert "token" not in page.url
    with connect(hub.url.replace("http", "ws") + "/ws") as tte:
        token = hub.token(Role.TTE, "T1", "12345")
        for fields in ({"type": "IDENTIFY", "token": token}, {"type": "SUBSCRIBE_TRAIN", **TRAIN}):
            tte.send(json.dumps(fields))
        wait_for(lambda: not says(page, "12345 TEST EXP", "no TTE is online"))
        assert says(page, "7 TEST EXP", "no TTE is online")
    page.get_by_role("link", name="the offer of S1-1").click()
    page.wait_for_selector(".details h2:has-text('7 TEST EXP')")
    assert page.complaints == []


def test_many_trains_are_told_together(hub, page):
    """Five sentences name a train; the rest is a link to the list, narrowed to them."""
    for number in range(1, 9):
        hub.ask("/api/trains", chart(person(1), trainNo=str(number)))
    page.goto(f"{hub.url}/#token={admin_token(hub)}")
    wait_for(lambda: says(page, "4", "more trains are overdue"))
    page.get_by_role("link", name="more trains are overdue").click()
    wait_for(lambda: "status=OVERDUE" in page.url)
    wait_for(lambda: page.locator("[data-is=rows] tr").count() == 9)
    assert "report due" in page.locator("[data-is=rows] tr").first.inner_text()


def test_all_is_well_for_staff_of_other_trains(hub, page):
    """A TTE reads of the runs that the token covers, and of the hub."""
    page.goto(f"{hub.url}/#token={hub.token(Role.TTE, 'T2', '999')}")
    page.wait_for_selector("[data-is=allWell]")
    assert attention(page) == []
    assert page.locator("[data-is=who]").inner_text() == "T2, TTE"


def test_mongodb_away_needs_attention(start_hub, start_mongod, page):
    """The sentence goes when MongoDB has all changes again."""
    mongod = start_mongod()
    hub = start_hub("--mongodb-uri", mongod.uri)
    hub.ask = asker(hub)
    page.goto(f"{hub.url}/#token={admin_token(hub)}")
    page.wait_for_selector("[data-is=allWell]")
    mongod.kill()
    hub.ask("/api/trains", chart(startDate="2099-11-23"))
    wait_for(lambda: says(page, "MongoDB"))
    mongod.start()
    wait_for(lambda: not says(page, "MongoDB"))


# --- the token -----------------------------------------------------------------------------------


def test_the_public_sees_figures_only(hub, page):
    """Without a token the page asks for nothing of the staff's."""
    asked = []
    page.on("request", lambda request: asked.append(request.url.partition("/api/")[2]))
    page.goto(hub.url)
    page.wait_for_selector("button:has-text('TEST EXP')")
    assert set(asked) <= {""}
    assert page.locator("[data-is=attention]").is_hidden()


def test_log_in_and_out(hub, page):
    """A token may be entered; it stays in this tab until the end of its use."""
    page.goto(hub.url)
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Token of a TTE").fill(admin_token(hub))
    page.locator("dialog").get_by_role("button", name="Log in").click()
    page.wait_for_selector("[data-is=who]:has-text('control, ADMIN')")
    assert "token" not in page.url
    page.get_by_role("button", name="Log out").click()
    page.wait_for_selector("button:has-text('Log in')")
    assert page.locator("[data-is=attention]").is_hidden()
    assert page.complaints == []


def test_a_token_that_is_refused(hub, page):
    """The page says so, and shows the public's figures on request."""
    page.goto(f"{hub.url}/#token=forged")
    page.wait_for_selector("[data-is=loginNews]:has-text('does not accept this token')")
    page.get_by_role("button", name="Without a token").click()
    page.wait_for_selector("button:has-text('TEST EXP')")
    assert page.locator("[data-is=logIn]").is_visible()
    page.goto(f"{hub.url}/#token={hub.token(Role.PASSENGER, 'IR_1', '12345')}")
    page.wait_for_selector("[data-is=loginNews]:has-text('no more for a PASSENGER')")


# --- the fleet -----------------------------------------------------------------------------------

MANY = 1_500
DRAWN = 100
COUNT = "document.querySelectorAll('*').length"
WATCH_ROWS = """() => {
  window.changes = 0;
  const watcher = new MutationObserver((all) => { window.changes += all.length; });
  const rows = document.querySelector('[data-is=rows]');
  watcher.observe(rows, { subtree: true, childList: true, characterData: true, attributes: true });
}"""


def test_a_large_fleet_stays_light(start_hub, page, tmp_path):
    """A page of the rows is drawn; a second in which nothing happens changes none of them."""
    folder = tmp_path / "charts"
    folder.mkdir()
    for number in range(MANY):
        whole = chart(person(1), trainNo=str(20_000 + number), startDate="2099-11-23")
        (folder / f"{number}.json").write_text(json.dumps(whole))
    hub = start_hub("--charts", str(folder))
    asked, frames = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda each: frames.append(each))
    )
    page.goto(hub.url)
    wait_for(lambda: page.locator("[data-is=rows] tr").count() == DRAWN)
    assert page.locator("[data-is=count]").inner_text() == "1,500"
    nodes = page.evaluate(COUNT)
    assert nodes < 40 * DRAWN
    page.evaluate(WATCH_ROWS)
    asked.clear()
    frames.clear()
    wait_for(lambda: page.wait_for_timeout(100) or len(frames) >= 5)
    assert asked == []
    assert max(map(len, frames)) < 2_000
    assert page.evaluate(COUNT) == nodes
    assert page.evaluate("changes") == 0
    page.get_by_role("searchbox").fill("20777")
    wait_for(lambda: page.locator("[data-is=rows] tr").count() == 1)
    assert page.evaluate(COUNT) < nodes
    asker(hub)("/api/trains/20777/delay?date=2099-11-23", {"delayMinutes": 20}, "PUT")
    page.wait_for_selector("[data-is=rows] .delay:has-text('20 min late')")
    assert page.complaints == []


def test_the_keyboard(hub, page):
    """Search, walk, open and close without a pointer; the focus comes back to the row."""
    hub.ask("/api/trains", chart(person(1), trainNo="7"))
    page.goto(hub.url)
    page.wait_for_selector("button:has-text('TEST EXP')")
    focused = "document.activeElement.closest('tr')?.dataset.run ?? document.activeElement.name"
    page.keyboard.press("/")
    assert page.evaluate(focused) == "q"
    page.keyboard.type("exp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "7/2026-11-23"
    page.keyboard.press("Enter")
    page.wait_for_selector(".details h2:has-text('7 TEST EXP')")
    assert "#run=7/2026-11-23" in page.url
    page.keyboard.press("Escape")
    page.wait_for_selector(".details", state="hidden")
    assert page.evaluate(focused) == "7/2026-11-23"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == "q"
    assert "q=exp" in page.url
    assert "run=" not in page.url


def test_a_link_to_a_filter_and_a_run(hub, page):
    """The address has the filter and the run, so a link shows what its sender saw."""
    hub.ask("/api/trains", chart(person(1), trainNo="7"))
    page.goto(f"{hub.url}/?status=OVERDUE&sort=-overdue&q=12345#run=12345/2026-11-23")
    page.wait_for_selector(".details h2:has-text('12345 TEST EXP')")
    assert page.get_by_label("Status", exact=True).input_value() == "OVERDUE"
    assert page.locator("[data-is=rows] tr").count() == 1


def test_the_list_is_narrowed_to_a_zone(hub, page):
    """The choice is there once a train has a zone; the address keeps it."""
    zone, rows = page.get_by_label("Zone", exact=True), page.locator("[data-is=rows] tr")
    page.goto(f"{hub.url}/")
    expect(rows).to_have_count(1)
    expect(zone).to_be_hidden()
    for number, its in (("7", "NFR"), ("8", "er"), ("9", "NFR")):
        hub.ask("/api/trains", chart(trainNo=number, zone=its))
    zone.select_option("NFR")
    expect(rows).to_have_count(2)
    assert zone.locator("option").all_inner_texts() == ["All zones", "ER", "NFR"]
    assert "NFR" in rows.first.inner_text()
    page.reload()
    expect(rows).to_have_count(2)
    page.get_by_label("Find a train").fill("12345")
    page.get_by_role("button", name="Show all trains").click()
    expect(rows).to_have_count(4)
    assert zone.input_value() == ""
    page.get_by_label("Order").select_option("zone")
    expect(rows.nth(1)).to_contain_text("ER")
    assert page.complaints == []


def test_below_a_path(hub, page):
    """A proxy may serve the hub at /hub/: the page asks for nothing outside that path."""
    sockets, asked = [], []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.on("request", lambda request: asked.append(request.url))
    with BelowPath(hub.port, "/hub") as link:
        inside = link.url.replace("ws://", "http://").replace("/ws", "/hub/")
        page.goto(f"{inside}#token={admin_token(hub)}&run=12345/2026-11-23&tab=schedule")
        wait_for(lambda: "STATION EEE" in part(page))
        page.locator("[data-is=part]").get_by_role("link", name="STATION CCC").click()
        page.wait_for_selector("[data-is=boardTitle]:has-text('STATION CCC')")
        assert page.url == f"{inside}?sort=status#station=CCC"
    assert all(each.startswith(inside) for each in asked)
    assert set(sockets) == {f"{inside.replace('http', 'ws')}ws"}


# --- a run ---------------------------------------------------------------------------------------


@pytest.fixture
def offering(hub):
    """Train 7 stands at AAA and offers S1-1 to person 10, on RAC; people have hostile names."""
    make_an_offer(hub.ask, {**person(1), "name": HOSTILE})
    return hub


def open_run(hub, page, tab="", role=Role.ADMIN, width=1280):
    page.set_viewport_size({"width": width, "height": 900})
    token = hub.token(role, "S1", "*")
    page.goto(f"{hub.url}/#token={token}&run=7/2026-11-23{tab and f'&tab={tab}'}")
    page.wait_for_selector(".details h2:has-text('7 TEST EXP')")


def part(page):
    """Return the text of the open part, without its breaks."""
    text = page.locator("[data-is=part]").inner_text()
    return " ".join(text.replace("\xa0", " ").split())


@pytest.mark.parametrize("width", WIDTHS)
def test_the_parts_of_a_run(offering, page, width):
    """Staff read the schedule, the berths, who waits, the offers, and who did what."""
    open_run(offering, page, width=width)
    for tab, words in (
        ("Schedule", ("STATION AAA", "09:10", "STATION EEE", "13:00")),
        ("Coaches", ("71 vacant", "1 aboard")),
        ("RAC, WL", ("1. RAC 1", "Person 10", "berth offered", "2. WL 1", "Person 20")),
        ("Offers", ("S1-1", "Person 10", "left", "on no device yet")),
        ("Who did what", ("mark no show", "4512345601/1", "control ADMIN")),
        ("Actions", ("departure from STATION AAA", "Announce")),
    ):
        page.locator("[data-is=tabs]").get_by_role("button", name=tab).click()
        wait_for(lambda words=words: all(word in part(page) for word in words))
        assert fits(page)
    assert page.complaints == []


def test_the_berths_by_leg(offering, page):
    """A berth has the state of its passenger on the chosen leg, and leads to the passenger."""
    open_run(offering, page, "coaches")
    page.wait_for_selector("[data-key='S1-2'][data-state=VACANT]")
    page.get_by_label("Leg").select_option("1")
    page.wait_for_selector("[data-key='S1-2'][data-state=DUE]")
    page.locator("[data-key='S1-7']").click()
    page.wait_for_selector(".part h3:has-text('Person 10')")
    assert page.url.endswith("&tab=person&person=4512345610/1")
    assert "Now: " in part(page)
    assert page.complaints == []


def test_the_berths_follow_the_events(offering, page):
    """A mark of a TTE changes the plan without a reload."""
    open_run(offering, page, "coaches")
    page.wait_for_selector("[data-key='S1-1'][data-state=VACANT]")
    offering.ask("/api/trains/7/passengers/4512345601/1/undo-no-show", {})
    offering.ask("/api/trains/7/passengers/4512345601/1/board", {})
    page.wait_for_selector("[data-key='S1-1'][data-state=ABOARD]")


def test_hostile_names_of_people(offering, page):
    """Names are text in the berths and in the history."""
    offering.ask("/api/trains/7/passengers/4512345601/1/undo-no-show", {})
    open_run(offering, page, "coaches")
    berth = page.locator("[data-key='S1-1']")
    assert HOSTILE in berth.get_attribute("title")
    berth.click()
    page.wait_for_selector(".part h3")
    assert HOSTILE in part(page)
    assert page.locator(".details img").count() == 0
    assert page.title() != "1"


def test_a_tte_reads_no_audit_and_the_public_no_people(offering, page):
    """Parts that the role may not read are not there, also by a link."""
    open_run(offering, page, "log", role=Role.TTE)
    page.wait_for_selector("[data-tab=actions]")
    assert page.locator("[data-tab=log]").count() == 0
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{offering.url}/#run=7/2026-11-23&tab=coaches")
    page.wait_for_selector(".follow:has-text('live')")
    tabs = page.locator("[data-is=tabs] button").all_inner_texts()
    assert tabs == ["Events", "Schedule"]
    assert "Person" not in page.locator(".details").inner_text()


def test_the_captaincy_report(offering, page):
    """By coach, with hostile names as text; the file is the hub's CSV."""
    offering.ask("/api/trains/7/remarks", {"text": HOSTILE, "coach": "S1"})
    open_run(offering, page, "report")
    row = page.locator("[data-is=part] tr", has_text="not turned up")
    expect(row).to_contain_text(HOSTILE)
    expect(page.locator("[data-is=part] table").last).to_contain_text(HOSTILE)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    assert saved.value.suggested_filename == "captaincy-7-2026-11-23.csv"
    assert "4512345601" in Path(saved.value.path()).read_text()
    assert page.locator(".details img").count() == 0
    assert page.complaints == []


def test_where_an_offer_was_delivered(offering, page):
    """Next to the devices stand the push and the e-mail, as soon as the hub has written them."""
    open_run(offering, page, "offers")
    offer = page.locator(".offers li").first
    expect(offer).to_contain_text("on no device yet")

    def letters():
        found = offering.ask("/api/trains/7/notifications")
        return [each for each in found if each["kind"] == "OFFER"]

    wait_for(letters)
    page.reload()
    expect(offer).to_contain_text(re.compile("push (sent|waits)"))


# --- the hub itself ------------------------------------------------------------------------------


def test_the_connections_are_there_once_it_is_known_whose_token_it_is(hub, page):
    """And not with the next question, three seconds later."""
    page.add_init_script(
        "const later = setTimeout; setTimeout = (call, ms) => (ms === 3000 ? 0 : later(call, ms))"
    )
    asked = []
    page.on("request", lambda each: asked.append(each.url.removeprefix(hub.url)))

    def late(route):
        wait_for(lambda: page.wait_for_timeout(20) or "/api/hour" in asked)
        route.continue_()

    page.route("**/api/me", late)
    page.goto(f"{hub.url}/#token={admin_token(hub)}&view=hub")
    expect(page.locator("[data-is=connectionList] li")).to_have_count(1)
    assert "/api/connections?q=" in asked


def test_the_hub_itself(hub, page):
    """Charts begin after two samples. An ADMIN sees rooms, searches the connections, closes one."""
    page.goto(f"{hub.url}/#token={admin_token(hub)}&view=hub")
    charts = page.locator(".charts figure")
    expect(charts).to_have_count(8, timeout=PATIENCE * 1000)
    expect(charts.first).to_contain_text("Sockets")
    assert page.locator(".fleet").is_hidden()
    with connect(hub.url.replace("http", "ws") + "/ws") as tte:
        token = hub.token(Role.TTE, HOSTILE, "12345")
        for fields in ({"type": "IDENTIFY", "token": token}, {"type": "SUBSCRIBE_TRAIN", **TRAIN}):
            tte.send(json.dumps(fields))
        rooms = page.locator("[data-is=roomList] li")
        expect(rooms).to_have_text("12345/2026-11-23 1 socket ", timeout=PATIENCE * 1000)
        page.get_by_role("searchbox", name="Find a connection").fill("12345/")
        lines = page.locator("[data-is=connectionList] li")
        expect(lines).to_have_count(1, timeout=PATIENCE * 1000)
        expect(lines).to_contain_text(HOSTILE)
        expect(lines).to_contain_text("12345/2026-11-23")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert fits(page)
        lines.get_by_role("button").click()
        assert HOSTILE in answer(page)
        page.wait_for_selector("[data-is=connectionNews]:has-text('Closed.')")
        expect(lines).to_have_count(0)
        with suppress(ConnectionClosed):
            while True:
                tte.recv(timeout=PATIENCE)
        assert tte.close_code == 4410
    assert page.locator(".hub img").count() == 0
    assert page.complaints == []


def test_the_hub_for_others(hub, page):
    """The public and a TTE see the charts, and no connection."""
    page.goto(f"{hub.url}/#token={hub.token(Role.TTE, 'T1', '12345')}&view=hub")
    expect(page.locator("[data-is=who]")).to_have_text("T1, TTE")
    expect(page.locator(".charts figure")).to_have_count(8, timeout=PATIENCE * 1000)
    assert page.locator("[data-is=connections]").is_hidden()
    page.get_by_role("link", name="Trains").click()
    expect(page.locator(".fleet")).to_be_visible()
    expect(page.locator(".hub")).to_be_hidden()


# --- actions -------------------------------------------------------------------------------------


def answer(page, yes=True):
    """Answer the question that is asked before a command; return its words."""
    dialog = page.locator("[data-is=sure]")
    dialog.wait_for()
    words = dialog.locator("p").first.inner_text()
    dialog.get_by_role("button", name="Yes" if yes else "No", exact=True).click()
    return words


def done(page, words="Done."):
    page.wait_for_selector(f"[data-is=done]:has-text('{words}')")


def test_actions_on_a_run(offering, page):
    """Each command is asked first; No sends nothing."""
    hub = offering
    open_run(hub, page, "actions")
    form = page.locator("form[name=announce]")
    form.get_by_label("Text").fill(HOSTILE)
    form.get_by_role("button").click()
    assert HOSTILE in answer(page, yes=False)
    form.get_by_role("button").click()
    answer(page)
    done(page)
    page.get_by_label("Minutes").fill("25")
    page.get_by_role("button", name="Set the delay").click()
    assert "Set 7 TEST EXP to 25" in answer(page)
    wait_for(lambda: hub.ask("/api/trains/7")["delayMinutes"] == 25)
    page.get_by_role("button", name="Report…").click()
    assert "departure from STATION AAA" in answer(page)
    wait_for(lambda: hub.ask("/api/trains/7")["departed"])
    wait_for(lambda: "arrival at STATION BBB" in part(page))
    events = [each["type"] for each in hub.ask("/api/trains/7/events")]
    assert events.count("ANNOUNCEMENT") == 1
    page.get_by_role("button", name="Cancel the run").click()
    assert "can be reinstated" in answer(page)
    wait_for(lambda: hub.ask("/api/trains/7")["status"] == "CANCELLED")
    page.get_by_label("Minutes").fill("30")
    page.get_by_role("button", name="Set the delay").click()
    answer(page)
    done(page, "Not done:")
    assert page.locator(".details img").count() == 0
    assert page.complaints == []


def test_mistakes_are_put_right(offering, page):
    """A report is undone, and a cancelled run reinstated; each is asked first."""
    hub = offering
    hub.ask("/api/trains/7/departures", {"stationCode": "AAA"})
    open_run(hub, page, "actions")
    wait_for(lambda: "Last: departure at STATION AAA" in part(page))
    page.get_by_role("button", name="Undo it").click()
    assert "undo the departure at STATION AAA" in answer(page)
    wait_for(lambda: not hub.ask("/api/trains/7")["departed"])
    page.locator("form[name=undo]").wait_for(state="hidden")
    assert page.locator("form[name=reinstate]").is_hidden()
    page.get_by_role("button", name="Cancel the run").click()
    answer(page)
    page.get_by_role("button", name="Reinstate the run").click()
    assert "Reinstate 7 TEST EXP" in answer(page)
    wait_for(lambda: hub.ask("/api/trains/7")["status"] == "RUNNING")
    page.get_by_role("button", name="Cancel the run").wait_for()
    assert page.complaints == []


def test_a_halt_is_added(offering, page):
    """The halt stands in the schedule, with its name as text."""
    open_run(offering, page, "actions")
    before, after = offering.ask("/api/trains/7")["stations"][1:3]
    form = page.locator("form[name=halt]")
    form.get_by_label("Code").fill("XTR")
    form.get_by_label("Name").fill(HOSTILE)
    form.get_by_label("After").select_option(before["stop"])
    form.get_by_label("Arrives").fill(before["scheduledDeparture"][11:16])
    form.get_by_label("Leaves").fill(after["scheduledArrival"][11:16])
    form.get_by_role("button").click()
    assert f"stop also at {HOSTILE} (XTR)" in answer(page)
    done(page)
    assert [each["code"] for each in offering.ask("/api/trains/7")["stations"]][2] == "XTR"
    page.get_by_role("button", name="Schedule").click()
    wait_for(lambda: HOSTILE in part(page))
    assert page.locator(".details img").count() == 0
    assert page.complaints == []


def test_a_run_ends_early_and_a_station_is_served_again(offering, page):
    """The schedule says what is not served, and has the button that undoes it."""
    open_run(offering, page, "actions")
    form = page.locator("form[name=terminate]")
    form.get_by_label("Station").select_option("DDD")
    form.get_by_label("Reason").fill(HOSTILE)
    form.get_by_role("button").click()
    assert "End 7 TEST EXP at DDD?" in answer(page)
    done(page)
    assert offering.ask("/api/trains/7")["stations"][4]["skipped"]
    page.get_by_role("button", name="Schedule").click()
    wait_for(lambda: "STATION EEE not served" in part(page))
    page.get_by_role("button", name="Serve it").click()
    assert "Serve STATION EEE after all" in answer(page)
    done(page)
    wait_for(lambda: "not served" not in part(page))
    assert page.complaints == []


def test_berths_are_blocked_and_unblocked(offering, page):
    """The plan shows a blocked berth, and a press on a free berth chooses it in the form."""
    open_run(offering, page, "coaches")
    page.locator("[data-key='S1-30']").click()
    page.get_by_role("button", name="Block…", exact=True).click()
    assert "Block berth S1-30?" in answer(page)
    page.wait_for_selector("[data-key='S1-30'][data-state=BLOCKED]")
    assert "1 blocked" in part(page)
    page.locator("[data-key='S1-30']").click()
    page.get_by_role("button", name="Unblock").click()
    assert "Unblock berth S1-30?" in answer(page)
    page.wait_for_selector("[data-key='S1-30'][data-state=VACANT]")
    page.locator("[data-is=choice]").select_option("")
    page.get_by_role("button", name="Block…", exact=True).click()
    assert "all berths of coach S1" in answer(page, yes=False)
    assert page.complaints == []


def test_berths_are_given_and_exchanged(offering, page):
    """A person gets a vacant berth, and another person's; a wrong berth is told."""
    hub = offering
    hub.ask("/api/trains/7/passengers/4512345601/1/undo-no-show", {})
    open_run(hub, page, "person&person=4512345610/1")

    def berth(pnr):
        (found,) = hub.ask(f"/api/trains/7/passengers/{pnr}")
        return found["berth"]

    form = page.locator("form[name=allot]")
    form.get_by_label("Berth").fill("s1-30")
    form.get_by_role("button").click()
    assert "Give berth S1-30 to Person 10?" in answer(page)
    done(page)
    assert berth("4512345610") == 30
    wait_for(lambda: "S1-30" in part(page))
    form = page.locator("form[name=swap]")
    form.get_by_label("With the passenger in").fill("S1-71")
    form.get_by_role("button").click()
    done(page, "Not done: no passenger who travels has S1-71.")
    form.get_by_label("With the passenger in").fill("S1-1")
    form.get_by_role("button").click()
    assert f"Person 10 (S1-30) and {HOSTILE} (S1-1)" in answer(page)
    done(page)
    assert (berth("4512345610"), berth("4512345601")) == (1, 30)
    assert page.locator(".details img").count() == 0
    assert page.complaints == []


def test_an_offer_is_withdrawn(offering, page):
    """And the next read shows how it ended."""
    open_run(offering, page, "offers")
    page.get_by_role("button", name="Withdraw").click()
    assert "Withdraw the offer of S1-1 to Person 10?" in answer(page)
    done(page)
    wait_for(lambda: "No offer is open." in part(page) and "withdrawn" in part(page))
    assert offering.ask("/api/trains/7/offers")[0]["state"] == "WITHDRAWN"


def test_a_chart_is_amended_by_a_table(offering, page):
    """The faults are listed by line before the table is sent, and the sound lines load."""
    hub = offering
    open_run(hub, page, "actions")
    lines = (
        "pnr,index,name,from,to,class,status,coach,berth",
        f'4512345690,1,"{HOSTILE.replace(chr(34), chr(39))}",AAA,EEE,SL,CNF,S1,30',
        "4512345691,1,LOST,AAA,ZZZ,SL,CNF,S1,31",
    )
    table = {"name": "more.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode()}
    page.locator("[data-is=chosen]").set_input_files(table)
    wait_for(lambda: "1 passenger would be new and 0 corrected, 1 line left out" in part(page))
    assert "3 4512345691 left out: " in part(page)
    before = len(hub.ask("/api/trains/7/passengers"))
    page.get_by_role("button", name="Amend").click()
    assert "1 passenger would be new" in answer(page).replace("\xa0", " ")
    done(page, "Done: the chart is amended.")
    assert len(hub.ask("/api/trains/7/passengers")) == before + 1
    bad = {**table, "buffer": "\n".join((lines[0], lines[2])).encode()}
    page.locator("[data-is=chosen]").set_input_files(bad)
    page.wait_for_selector(".found .fault:has-text('no passenger loads')")
    assert "2 4512345691 left out: " in part(page)
    assert page.locator("[data-is=send]").is_hidden()


# --- accessibility -------------------------------------------------------------------------------

TABS = ("events", "schedule", "coaches", "waiting", "offers", "report", "log", "actions")
VIEWS = (
    *("", "station=BBB", "station=BBB&screen=big", "view=hub"),
    *(f"run=7/2026-11-23&tab={tab}" for tab in TABS),
    "run=7/2026-11-23&tab=person&person=4512345610/1",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault_in_any_view(offering, axe, page, scheme):
    """Colours, names, roles and headings hold in each view of the staff's page, and the login."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto(f"{offering.url}/#token={admin_token(offering)}")
    page.wait_for_selector("[data-is=attentionList] li")
    for view in VIEWS:
        page.goto(f"{offering.url}/#{view}")
        if view == "view=hub":
            page.wait_for_selector("[data-is=connectionList] li")
        if "tab=" in view and "events" not in view:
            wait_for(lambda: part(page))
        assert axe(page) == [], view
    page.get_by_role("button", name="Log out").click()
    page.goto(offering.url)
    page.get_by_role("button", name="Log in").click()
    assert axe(page) == []


def test_axe_finds_no_fault_in_hindi(offering, axe, page):
    """Nor does a view scroll sideways on a phone."""
    page.add_init_script("localStorage.setItem('trainhub.language', 'hi')")
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{offering.url}/#token={admin_token(offering)}")
    page.wait_for_selector("[data-is=attentionList] li")
    for view, shown in (
        ("", "[data-is=attentionList] li"),
        ("station=BBB", "[data-is=boardRows] tr"),
        ("view=hub", "[data-is=connectionList] li"),
        ("run=7/2026-11-23&tab=coaches", ".berth"),
        ("run=7/2026-11-23&tab=actions", "form[name=report]"),
    ):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{offering.url}/#{view}")
        page.wait_for_selector(shown)
        assert page.locator("html").get_attribute("lang") == "hi"
        assert axe(page) == [], view
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert fits(page), view
