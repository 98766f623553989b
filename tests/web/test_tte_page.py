"""static/tte.html: a TTE marks people with one tap, also offline, and sees offers and their end."""

import json
import re
from contextlib import contextmanager

import pytest
from chromium import CHROMIUM, find_chromium, fits, new_context
from faulty_link import BelowPath
from load import asker
from playwright.sync_api import expect
from railway import chart, person, rac
from waiting import wait_for

HOSTILE = '<img src=x onerror="document.title=1">'
PHONE = {"width": 360, "height": 800}
WIDTHS = (360, 768, 1280)
RUN = "12345/2026-11-23"
TRAIN = "/api/trains/12345"


@pytest.fixture
def page(page):
    """A page on a phone."""
    page.set_viewport_size(PHONE)
    return page


@pytest.fixture
def hub(restart):
    return restart()


@pytest.fixture
def ask(hub):
    """Ask the hub as its control room; train 12345 stands at AAA, with RAC 1 aboard."""
    return load(hub, person(1), person(2), person(3, "BBB"), rac(10, 1))


def load(hub, *people, **fields):
    ask = asker(hub)
    ask("/api/trains", chart(*people, **fields))
    ask(f"{TRAIN}/start", {})
    for each in people:
        if each["status"] == "RAC":
            ask(f"{TRAIN}/passengers/{each['pnr']}/1/board", {})
    return ask


def url(hub, page="tte.html", role="TTE", user="T1", base=None):
    return f"{base or hub.url}/{page}#token={hub.token(role, user, '12345')}&run={RUN}"


@contextmanager
def opened(browser, **options):
    """A page of a device of its own."""
    context = new_context(browser, viewport=PHONE, **options)
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    assert page.complaints == []
    context.close()


def row(page, name):
    return page.locator("li.person").filter(has_text=name)


def state_of(ask, who):
    (found,) = ask(f"{TRAIN}/passengers/45123456{who:02}")
    return found["state"]


# --- the story ----------------------------------------------------------------------------------


def test_a_no_show_leads_to_an_offer_that_is_accepted(hub, ask, browser):
    """The TTE marks NT, the passenger on RAC accepts, and both pages show the berth."""
    with opened(browser) as tte, opened(browser) as passenger:
        passenger.goto(url(hub, "passenger.html", "PASSENGER", "IR_10"))
        expect(passenger.locator("article .berth")).to_have_text("S1-7")
        tte.goto(url(hub))
        expect(tte.get_by_role("heading", name="12345 TEST EXP")).to_be_visible()

        tte.get_by_role("button", name="NT: Person 1 has not turned up, S1-1").click()
        expect(row(tte, "Person 1")).to_contain_text(re.compile(r"NT, \d\d:\d\d"))

        tte.get_by_role("button", name="Offers").click()
        offer = tte.locator(".offer")
        expect(offer).to_contain_text("Person 10")
        expect(offer).to_contain_text("S1-1")
        expect(offer).to_contain_text("Ends in 4 min")
        expect(offer).to_contain_text("Seen on 1 device")

        passenger.get_by_role("button", name="Accept").click()
        expect(passenger.locator("[data-is=trains] .berth")).to_have_text("S1-1")
        expect(tte.locator(".happened").first).to_contain_text("Person 10 has berth S1-1.")
        expect(offer).to_have_count(0)
        tte.get_by_role("button", name="List", exact=True).click()
        expect(row(tte, "Person 1")).to_contain_text("The berth is given away")
        expect(row(tte, "Person 1").get_by_role("button", name="Undo")).to_be_hidden()


# --- marks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_marks_take_one_tap_and_undo_another(hub, ask, page, width):
    """A marked person stays in place with an undo, and the page never scrolls sideways."""
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url(hub))
    for button, state, words in (
        ("O: Person 1", "ABOARD", "Aboard"),
        ("NT: Person 2", "NT", re.compile(r"NT, \d\d:\d\d")),
    ):
        name, who = button.split(": ")[1], int(button[-1])
        page.get_by_role("button", name=button).click()
        expect(row(page, name)).to_contain_text(words)
        wait_for(lambda who=who, state=state: state_of(ask, who) == state)
        row(page, name).get_by_role("button", name="Undo").click()
        expect(page.get_by_role("button", name=button)).to_be_visible()
        wait_for(lambda who=who: state_of(ask, who) == "DUE")
    assert fits(page)
    assert page.complaints == []


def test_targets_are_large(hub, ask, page):
    """O and NT have at least 48 pixels each way, and every other control 24 (WCAG 2.5.8)."""
    page.goto(url(hub))
    expect(row(page, "Person 1")).to_be_visible()
    for box in page.locator(".marks button:visible").all():
        assert min(box.bounding_box()["width"], box.bounding_box()["height"]) >= 48
    for box in page.locator(":is(button, input, select, textarea):visible").all():
        assert min(box.bounding_box()["width"], box.bounding_box()["height"]) >= 24


def test_the_undo_of_nt_shows_how_long_it_lasts(hub, page):
    """With `undoMinutes` the undo counts down."""
    load(hub, person(1), undoMinutes=30)
    page.goto(url(hub))
    page.get_by_role("button", name="NT: Person 1").click()
    expect(row(page, "Person 1").get_by_role("button", name="Undo")).to_have_text(
        re.compile(r"Undo \((30|29) mins\)")
    )


def test_a_late_passenger_is_first_in_turn(hub, ask, page):
    """A passenger whose berth was given away is marked as aboard, and shown before RAC."""
    page.goto(url(hub))
    page.get_by_role("button", name="RAC, WL").click()
    expect(page.locator("[data-is=waiting] .card")).to_contain_text("RAC 1 Person 10")
    expect(page.locator("[data-is=waiting] .chip")).to_have_text("Next")
    page.get_by_role("button", name="List", exact=True).click()
    page.get_by_role("button", name="NT: Person 1").click()
    (offer,) = wait_for(lambda: ask(f"{TRAIN}/offers?state=OPEN"))
    ask(f"/api/offers/{offer['offerId']}/accept", {})
    expect(row(page, "Person 1")).to_contain_text("The berth is given away")
    page.get_by_role("button", name="O: Person 1").click()
    page.get_by_role("button", name="RAC, WL").click()
    expect(page.locator("[data-is=claimants]")).to_contain_text("CNF Person 1")
    expect(page.locator("[data-is=claimants] .chip")).to_have_text("Has an offer")
    page.get_by_role("button", name="Why no berth? Person 1").click()
    expect(page.locator("[data-is=claimants] [data-is=reason]")).not_to_be_empty()


def test_a_coach_is_checked(hub, ask, page):
    """With people still due the page asks first. A reloaded page shows it too."""
    page.goto(url(hub))
    page.get_by_role("button", name="Coach S1 is checked").click()
    expect(page.locator("dialog[open]")).to_contain_text("2 passengers of coach S1 are not marked.")
    page.get_by_role("button", name="Back").click()
    assert ask(TRAIN)["checked"] == []
    page.get_by_role("button", name="Coach S1 is checked").click()
    page.get_by_role("button", name="The coach is checked").click()
    wait_for(lambda: ask(TRAIN)["checked"] == ["S1"])
    for _ in range(2):
        expect(page.get_by_text("Coach S1 is checked at STATION AAA")).to_be_disabled()
        page.reload()


def test_an_announcement_is_sent_and_heard(hub, ask, page):
    page.goto(url(hub))
    page.get_by_role("button", name="More").click()
    page.get_by_label("Text").fill("<b>Tea</b> is served.")
    page.get_by_label("Urgency").select_option("WARNING")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Warning: <b>Tea</b> is served.")).to_be_visible()
    expect(page.get_by_label("Text")).to_have_value("")


def test_an_offer_is_answered_for_the_passenger(hub, ask, page):
    """The TTE asks a passenger without a phone, and answers."""
    page.goto(url(hub))
    page.get_by_role("button", name="NT: Person 1").click()
    page.get_by_role("button", name="Offers").click()
    expect(page.locator(".offer")).to_contain_text("Not seen on any device")
    page.get_by_role("button", name="Passenger accepts").click()
    expect(page.locator(".happened").first).to_contain_text("Person 10 has berth S1-1.")


def test_under_approval_the_tte_approves(hub, page):
    ask = load(hub, person(1), rac(10, 1), policy="APPROVAL")
    page.goto(url(hub))
    page.get_by_role("button", name="NT: Person 1").click()
    page.get_by_role("button", name="Offers").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".happened").first).to_contain_text("Person 10 has berth S1-1.")
    assert ask(f"{TRAIN}/passengers/4512345610")[0]["berth"] == 1


# --- berths and duty ----------------------------------------------------------------------------


def test_a_vacant_berth_is_given(hub, page):
    """With the reason, out of turn; the page offers only berths that are vacant far enough."""
    ask = load(hub, person(1, "CCC"), person(2), rac(10, 1))
    page.goto(url(hub))
    page.get_by_role("button", name="RAC, WL").click()
    page.get_by_role("button", name="Give a berth: Person 10, now S1-7").click()
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("Now S1-7, STATION AAA to STATION EEE")
    berths = dialog.locator("[name=berth]")
    expect(berths.locator("option")).to_have_count(70)  # all but two that are booked: S1-7 is half
    expect(berths.locator("option", has_text="S1-1,")).to_have_count(0)
    berths.select_option(label="S1-5, middle, SL")
    dialog.locator("[name=reason]").select_option("MEDICAL")
    dialog.get_by_label("Note").fill("a bad leg")
    dialog.get_by_role("button", name="Give this berth").click()
    expect(dialog).to_have_count(0)
    expect(page.locator("[data-is=waiting] .card")).to_have_count(0)
    page.get_by_role("button", name="Offers").click()
    expect(page.locator(".happened").first).to_contain_text("Person 10 was given berth S1-5.")
    (allotted,) = ask(f"{TRAIN}/report")["coaches"][0]["allotments"]
    assert (allotted["allottedFor"], allotted["note"]) == ("MEDICAL", "a bad leg")


def test_two_passengers_exchange_their_berths(hub, ask, page):
    """A refusal says who holds the berth. Without the hub no berth can be changed."""
    page.goto(url(hub))
    page.get_by_role("button", name="1 S1: another berth for Person 1").click()
    page.locator("dialog [name=other]").select_option(label="S1-2 Person 2")
    page.get_by_role("button", name="Exchange the two berths").click()
    expect(row(page, "Person 1").locator(".berth")).to_contain_text("2")
    expect(row(page, "Person 2").locator(".berth")).to_contain_text("1")
    page.get_by_role("button", name="2 S1: another berth for Person 1").click()
    page.locator("dialog [name=berth]").select_option(label="S1-9, lower, SL")
    body = {"coach": "S1", "berth": 9, "reason": "FAMILY"}
    ask(f"{TRAIN}/passengers/4512345602/1/berth", body)
    page.get_by_role("button", name="Give this berth").click()
    expect(page.locator(".problems li")).to_contain_text(
        "Berth S1-9 for Person 1: berth S1-9 is held by Person 2."
    )
    hub.stop()
    expect(row(page, "Person 1").locator(".berth")).to_be_disabled()


def test_a_tte_signs_on_and_off_and_hands_over(hub, ask, page):
    """Also while the hub is away; the handover list has what is left to do in the coaches."""
    ask(f"{TRAIN}/sign-on", {"tte": "T9", "coaches": ["S1"]})
    page.goto(url(hub))
    page.get_by_role("button", name="Duty").click()
    expect(page.get_by_text("You are signed on to no coach.")).to_be_visible()
    page.get_by_role("button", name="Coach S1, T9 is responsible").click()
    expect(page.get_by_text("You take S1 over from T9.")).to_be_visible()
    page.get_by_role("button", name="Sign on to S1").click()
    expect(page.get_by_text("You are responsible for S1.")).to_be_visible()
    wait_for(lambda: [each["tte"] for each in ask(TRAIN)["duty"]] == ["T1"])

    page.get_by_role("textbox", name="Remark").fill("No water.")
    page.locator("[name=coach]").select_option("S1")
    page.get_by_role("button", name="Write the remark").click()
    expect(page.get_by_role("textbox", name="Remark")).to_have_value("")
    wait_for(lambda: [each["text"] for each in ask(f"{TRAIN}/report")["remarks"]] == ["No water."])
    page.get_by_role("button", name="Show the handover list").click()
    card = page.locator("[data-is=handoverList] .card").first
    expect(card).to_contain_text("2 to check: 1 Person 1, 2 Person 2")
    expect(card).to_contain_text(re.compile(r"\d\d:\d\d T1: No water\."))

    page.get_by_role("button", name="Sign off").click()
    expect(page.get_by_text("You are signed on to no coach.")).to_be_visible()
    wait_for(lambda: [each["tte"] for each in ask(TRAIN)["duty"]] == [None])


def test_duty_and_remarks_wait_for_the_hub(hub, ask, page, restart):
    """They are sent once, in order with the marks, when the hub is back."""
    page.goto(url(hub))
    page.get_by_role("button", name="Duty").click()
    expect(page.get_by_text("You are signed on to no coach.")).to_be_visible()
    hub.stop()
    expect(page.locator("[data-is=link]")).not_to_have_text("Online")
    page.get_by_role("button", name="Coach S1, without a TTE").click()
    page.get_by_role("button", name="Sign on to S1").click()
    expect(page.get_by_text("You are responsible for S1. Waits to be sent.")).to_be_visible()
    page.get_by_role("textbox", name="Remark").fill("No light.")
    page.get_by_role("button", name="Write the remark").click()
    expect(page.get_by_role("button", name="Show the handover list")).to_be_disabled()
    ask = asker(restart())
    wait_for(lambda: [each["tte"] for each in ask(TRAIN)["duty"]] == ["T1"])
    wait_for(lambda: [each["text"] for each in ask(f"{TRAIN}/report")["remarks"]] == ["No light."])
    expect(page.get_by_text("Waits to be sent.")).to_have_count(0)


# --- offline ------------------------------------------------------------------------------------


def test_it_says_since_when_it_is_offline(hub, ask, page):
    """Also if the hub goes a moment after it gave the list."""
    page.goto(url(hub))
    expect(row(page, "Person 1")).to_be_visible()
    hub.kill()
    expect(page.get_by_text("Offline: the train as of")).to_be_visible()


def test_two_ttes_mark_offline_and_one_conflict_is_told_in_words(
    hub, ask, browser, restart, tmp_path
):
    """Marks survive a closed browser, go in order, and a conflict names the mark that stands."""

    def reopened():
        """The second TTE's browser, with what it has stored."""
        return browser.browser_type.launch_persistent_context(
            tmp_path / "device", executable_path=find_chromium(), args=CHROMIUM, viewport=PHONE
        )

    where = url(hub, user="T1")
    second = reopened()
    page = second.pages[0]
    page.goto(where)
    expect(row(page, "Person 1")).to_be_visible()
    wait_for(lambda: page.evaluate("caches.match('tte.html').then(Boolean)"))
    with opened(browser) as first:
        first.goto(url(hub, user="T9"))
        expect(row(first, "Person 1")).to_be_visible()
        hub.stop()
        expect(page.locator("[data-is=link]")).not_to_have_text("Online")
        page.get_by_role("button", name="NT: Person 1").click()
        page.get_by_role("button", name="O: Person 2").click()
        expect(page.get_by_text("2 marks wait for the hub")).to_be_visible()
        second.close()

        second = reopened()
        page = second.pages[0]
        page.goto(f"{hub.url}/tte.html")
        expect(row(page, "Person 1")).to_contain_text(re.compile(r"NT, \d\d:\d\d"))
        expect(row(page, "Person 1")).to_contain_text("Waits to be sent.")
        expect(page.get_by_text("Offline: the train as of")).to_be_visible()
        second.close()

        expect(first.locator("[data-is=link]")).not_to_have_text("Online")
        first.get_by_role("button", name="O: Person 1").click()
        again = restart()
        ask = asker(again)
        expect(first.locator("[data-is=link]")).to_have_text("Online")
        wait_for(lambda: state_of(ask, 1) == "ABOARD")

    second = reopened()
    page = second.pages[0]
    page.goto(f"{hub.url}/tte.html")
    problem = page.locator(".problems li")
    expect(problem).to_have_text(
        re.compile(r"NT for Person 1, S1-1 at \d\d:\d\d: marked ABOARD by T9 at \d\d:\d\d\.")
    )
    wait_for(lambda: state_of(ask, 2) == "ABOARD")
    expect(row(page, "Person 2")).to_contain_text("Aboard")
    page.get_by_label("Language").select_option("hi")
    expect(problem).to_contain_text("T9 ने")
    page.reload()
    expect(problem).to_have_count(1)
    problem.get_by_role("button").click()
    expect(problem).to_have_count(0)
    second.close()


def test_a_mark_that_is_taken_back_offline_is_never_sent(hub, ask, page, restart):
    """Nothing of it reaches the hub, so no berth is offered in between."""
    page.goto(url(hub))
    expect(row(page, "Person 1")).to_be_visible()
    hub.stop()
    expect(page.locator("[data-is=link]")).not_to_have_text("Online")
    page.get_by_role("button", name="NT: Person 1").click()
    row(page, "Person 1").get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="O: Person 2").click()
    ask = asker(restart())
    wait_for(lambda: state_of(ask, 2) == "ABOARD")
    told = [each["type"] for each in ask(f"{TRAIN}/events")]
    assert "NO_SHOW" not in told
    assert "NO_SHOW_UNDONE" not in told


def test_an_undo_that_waits_has_its_time(hub, ask, page):
    """So that the hub leaves a mark that another TTE makes meanwhile."""
    page.goto(url(hub))
    page.get_by_role("button", name="O: Person 1").click()
    wait_for(lambda: state_of(ask, 1) == "ABOARD")
    expect(row(page, "Person 1")).not_to_contain_text("Waits to be sent.")
    hub.stop()
    expect(page.locator("[data-is=link]")).not_to_have_text("Online")
    row(page, "Person 1").get_by_role("button", name="Undo").click()
    expect(row(page, "Person 1")).to_contain_text("Undo waits to be sent.")
    kept = page.evaluate(
        "Object.values(localStorage).find((text) => text.includes('UNDO_BOARDED'))"
    )
    assert re.fullmatch(r"\d{4}-.*Z", json.loads(kept)["message"]["at"])


# --- safety -------------------------------------------------------------------------------------


def test_hostile_names_are_only_text(hub, page):
    """Names, and what is announced, run no script in any part of the page."""
    ask = load(hub, person(1, name=HOSTILE), {**rac(10, 1), "name": HOSTILE}, person(2))
    page.goto(url(hub))
    page.get_by_role("button", name=f"NT: {HOSTILE}").click()
    ask(f"{TRAIN}/announcements", {"text": HOSTILE})
    for tab, part in (
        ("RAC, WL", ".card"),
        ("Offers", ".offer"),
        ("More", "[data-is=heard]"),
        ("List", "li.person"),
    ):
        page.get_by_role("button", name=tab, exact=tab == "List").click()
        expect(page.locator(part).filter(has_text=HOSTILE).first).to_be_visible()
    assert page.locator("img[onerror]").count() == 0
    assert page.title() == "TTE · trainhub"
    assert page.complaints == []
    assert "token" not in page.url


def test_a_passenger_s_token_shows_no_train(hub, ask, page):
    page.goto(url(hub, role="PASSENGER", user="IR_10"))
    expect(page.get_by_text("This token is not for the staff")).to_be_visible()


def test_a_phone_keeps_no_more_than_it_needs(hub, ask, page):
    """Neither addresses nor the passengers' users are kept, and after logging out nothing is."""
    page.goto(url(hub))
    expect(row(page, "Person 1")).to_be_visible()
    kept = "JSON.stringify(Object.entries(localStorage))"
    wait_for(lambda: "Person 1" in page.evaluate(kept))
    assert "@example.org" not in page.evaluate(kept)
    assert "IR_1" not in page.evaluate(kept)
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("[data-is=login]")).to_be_visible()
    assert "trainhub.tte" not in page.evaluate(kept)


# --- every reader -------------------------------------------------------------------------------

PROBLEM = [
    {
        "id": "1",
        "type": "MARK_NO_SHOW",
        "fields": {"pnr": "4512345602", "index": 1, "at": "2026-11-23T09:05:00Z"},
        "code": "CONFLICT",
        "message": "",
        "details": {"state": "ABOARD", "markedBy": "T9", "markedAt": "2026-11-23T09:06:00Z"},
    }
]


@pytest.mark.parametrize("language", ["en", "hi"])
def test_axe_finds_no_fault_in_any_state(hub, axe, browser, language):
    """Log in, list, dialog, RAC, offers, announcements and conflicts, in both themes."""
    load(hub, *(person(who) for who in range(1, 5)), rac(10, 1), undoMinutes=30)
    faults = []
    for scheme in ("light", "dark"):
        options = {"color_scheme": scheme, "locale": f"{language}-IN"}
        with opened(browser, **options, reduced_motion="reduce") as page:
            page.goto(f"{hub.url}/tte.html")
            expect(page.locator("[data-is=login]")).to_be_visible()
            faults += axe(page)
            page.evaluate(
                "text => localStorage.setItem('trainhub.tte.problems', text)", json.dumps(PROBLEM)
            )
            page.goto("about:blank")
            page.goto(url(hub))
            expect(page.locator("html")).to_have_attribute("lang", language)
            expect(row(page, "Person 2")).to_be_visible()
            marks = row(page, "Person 1" if scheme == "light" else "Person 2").locator(".nt")
            marks.click()
            row(page, "Person 3").locator(".o").click()
            expect(page.locator(".problems li")).to_be_visible()
            faults += axe(page)
            page.locator("[data-is=checked]").click()
            expect(page.locator("dialog[open]")).to_be_visible()
            faults += axe(page)
            page.locator("dialog button[value=no]").click()
            for tab in ("waiting", "offers", "duty", "more"):
                page.locator(f".tabs [data-tab={tab}]").click()
                if tab == "duty":
                    page.locator("[data-is=handover]").click()
                    expect(page.locator("[data-is=handoverList] .card").first).to_be_visible()
                faults += axe(page)
            page.locator(".tabs [data-tab=list]").click()
            row(page, "Person 4").locator(".berth").click()
            expect(page.locator("dialog [name=berth]")).to_be_visible()
            faults += axe(page)
            page.locator("dialog[open] form[method=dialog] button").click()
            page.set_viewport_size({"width": 1280, "height": 900})
            expect(page.locator("[data-is=coaches]")).to_be_visible()
            faults += axe(page)
            page.locator(".tabs [data-tab=list]").evaluate("each => each.click()")
            row(page, "Person 3").locator("[data-is=undo]").click()
    assert not faults, "\n".join(sorted({str(each) for each in faults}))


def test_the_keyboard_is_enough(hub, ask, page):
    """A mark and its undo by keys; the focus stays in the row."""
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(url(hub))
    page.get_by_label("NT: Person 1").focus()
    page.keyboard.press("Enter")
    undo = row(page, "Person 1").get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    expect(undo).to_be_enabled()
    page.keyboard.press("Space")
    expect(page.get_by_label("O: Person 1")).to_be_focused()


def test_the_page_works_below_a_path(hub, ask, page):
    """A proxy serves the hub below /hub/: files, socket and requests are found there."""
    with BelowPath(hub.port, "/hub") as link:
        base = link.url.replace("ws://", "http://").replace("/ws", "/hub")
        page.goto(url(hub, base=base))
        page.get_by_role("button", name="O: Person 1").click()
        wait_for(lambda: state_of(ask, 1) == "ABOARD")
        page.get_by_role("button", name="RAC, WL").click()
        expect(page.locator("[data-is=waiting] .card")).to_contain_text("Person 10")
    assert page.complaints == []
