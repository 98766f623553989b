"""static/passenger.html: a passenger sees their own train, answers an offer, and takes pushes."""

import contextlib
import json

import pytest
from certificates import write_pair
from chromium import fits, launch, new_context, new_page
from load import asker
from playwright.sync_api import expect
from push_service import push_service_beside
from railway import chart, person, rac, station
from waiting import PATIENCE, wait_for

from trainhub.domain.model import Role
from trainhub.hub.letters import KINDS

HOSTILE = '<img src=x onerror="document.title=1">'
WIDTHS = (360, 1280)


@pytest.fixture
def hub(start_hub, mongod_options):
    return start_hub(*mongod_options)


@pytest.fixture
def ask(hub):
    """Ask the hub as its control room; train 12345 stands with a passenger on RAC aboard."""
    return load(hub)


def load(hub):
    ask = asker(hub)
    ask("/api/trains", chart(person(1), {**rac(10, 1), "name": HOSTILE}, policy="OFFER"))
    ask("/api/trains/12345/start", {})
    ask("/api/trains/12345/passengers/4512345610/1/board", {})
    return ask


def url(hub, *more):
    token = hub.tokens.issue("IR_10", Role.PASSENGER, ["12345"])
    return f"http://127.0.0.1:{hub.port}/passenger.html#" + "&".join((f"token={token}", *more))


def text_of(page, selector):
    return page.locator(selector).first.inner_text(timeout=PATIENCE * 1000)


@pytest.mark.parametrize("width", WIDTHS)
def test_an_offer_is_accepted_on_the_page(hub, ask, page, width):
    """The no-show's berth is offered; after Accept it is the passenger's. Names are only text."""
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url(hub))
    assert "S1-7" in text_of(page, "article .berth")
    ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
    assert "Answer within" in text_of(page, "article.offer [data-until]")
    assert fits(page)
    page.get_by_role("button", name="Accept").click()
    wait_for(lambda: "S1-1" in text_of(page, "section[data-is=trains] .berth"))
    assert page.locator("article.offer").count() == 0
    assert HOSTILE in text_of(page, "section[data-is=trains]")
    assert "token" not in page.url
    assert page.title() != "1"
    assert page.complaints == []


def test_a_link_from_a_push_answers_the_offer(hub, ask, page):
    """The notification's button opens the page, which gives the answer."""
    ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
    (offer,) = ask("/api/trains/12345/offers")
    page.goto(url(hub, f"offer={offer['offerId']}", "answer=deny"))
    wait_for(lambda: ask("/api/trains/12345/offers")[0]["state"] == "DENIED")
    assert page.complaints == []


def test_preferences_are_kept(hub, ask, page):
    """Language, channels and kinds come back after a reload; each kind of letter has its box."""
    page.goto(url(hub))
    wait_for(lambda: page.get_by_label("By e-mail").is_checked())  # what was chosen has come
    page.get_by_label("Language of messages").select_option("hi")
    page.get_by_label("By e-mail").uncheck()
    boxes = page.locator("[name=kind]")
    assert {box.get_attribute("value") for box in boxes.all()} == {kind.name for kind in KINDS}
    page.get_by_label("the train is late").uncheck()
    page.get_by_role("button", name="Save").click()
    wait_for(lambda: "Saved" in text_of(page, "[data-is=news]"))
    page.reload()
    wait_for(lambda: page.get_by_label("Language of messages").input_value() == "hi")
    assert not page.get_by_label("By e-mail").is_checked()
    off = [box.get_attribute("value") for box in boxes.all() if not box.is_checked()]
    assert off == ["DELAY"]


def test_without_a_token_the_page_asks_for_one(hub, page):
    """And logs in with it."""
    page.goto(f"http://127.0.0.1:{hub.port}/passenger.html")
    page.get_by_label("Token").wait_for()
    assert page.complaints == []


# --- notifications ------------------------------------------------------------------------------


@pytest.fixture
def phone(browser):
    """A page of a Chromium that shows notifications."""
    whole = launch(browser.browser_type)
    with new_page(whole) as page:
        yield page
    whole.close()


SHOWN = """async () => {
    const worker = await navigator.serviceWorker.ready;
    return (await worker.getNotifications()).map(({ title, body, tag, data, actions }) =>
        ({ title, body, tag, link: data.link, actions: actions.map(({ action }) => action) }));
}"""


def push_to(page, hub, *payloads):
    """Give payloads to Chromium's push handler until the last is shown; return what is shown then.

    Chromium takes subscriptions at the push service of its maker only, which tests cannot use. It
    does not say whether it gave a payload to the worker, and on a busy machine it may not.
    """
    page.context.grant_permissions(["notifications"], origin=f"http://127.0.0.1:{hub.port}")
    page.evaluate(
        "navigator.serviceWorker.register('sw.js').then(() => navigator.serviceWorker.ready)"
    )
    session = page.context.new_cdp_session(page)
    versions = []
    session.on(
        "ServiceWorker.workerRegistrationUpdated", lambda e: versions.extend(e["registrations"])
    )
    session.send("ServiceWorker.enable")
    wait_for(lambda: page.wait_for_timeout(50) or versions)
    to = {
        "origin": f"http://127.0.0.1:{hub.port}",
        "registrationId": versions[0]["registrationId"],
    }

    def shown():
        found = page.evaluate(SHOWN)
        return any(each["body"] == payloads[-1]["body"] for each in found) and found

    def given():
        for payload in payloads:
            session.send("ServiceWorker.deliverPushMessage", {**to, "data": json.dumps(payload)})
        with contextlib.suppress(AssertionError):
            return wait_for(shown, seconds=5)

    return wait_for(given)


def push_of(offer_id):
    """Return the payload of an offer's push."""
    return {
        "title": "Train 12345: a berth is offered to you",
        "body": f"Offer {offer_id}: berth S1-1 is held for Asha.",
        "topic": f"offer-{offer_id}",
        "language": "en",
        "link": f"passenger.html#offer={offer_id}",
        "kind": "OFFER",
    }


def test_a_notification_goes_once_its_offer_has_ended(hub, ask, phone):
    """Also if it ended while no page was open. That of an offer that is yet to be told stays."""
    ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
    (offer,) = ask("/api/trains/12345/offers")
    phone.goto(f"http://127.0.0.1:{hub.port}/passenger.html")
    later = push_of("12345.2026-11-23.99999")
    assert len(push_to(phone, hub, push_of(offer["offerId"]), later)) == 2
    phone.goto(f"http://127.0.0.1:{hub.port}/tte.html")
    ask(f"/api/offers/{offer['offerId']}/deny", {})
    phone.goto(url(hub))
    wait_for(lambda: [each["tag"] for each in phone.evaluate(SHOWN)] == [later["topic"]])
    assert phone.complaints == []


def test_a_push_is_shown_with_its_answers(hub, phone):
    """A newer push of its topic replaces it."""
    phone.goto(f"http://127.0.0.1:{hub.port}/passenger.html")
    payload = push_of("12345.2026-11-23.1")
    (one,) = push_to(phone, hub, {**payload, "body": "old"}, payload)
    assert (one["title"], one["tag"]) == (payload["title"], payload["topic"])
    assert (one["link"], one["actions"]) == (payload["link"], ["accept", "deny"])


def test_a_push_arrives_and_is_answered(start_hub, mongod_options, phone, tmp_path):
    """NT marked by the TTE becomes a push on a locked phone, and its answer the berth.

    The hub's push goes over HTTPS to a push service that decrypts it; Chromium shows it. A test
    cannot tap a notification: it opens the address that the tap on Accept opens.
    """
    pair = write_pair(tmp_path)
    with push_service_beside(pair) as service:
        hub = start_hub(
            *mongod_options,
            *("--push-subject", "mailto:ops@example.org"),
            *("--push-hosts", f"localhost:{service.port}"),
            environment={"SSL_CERT_FILE": str(pair[0])},
        )
        ask = load(hub)
        phone.goto(url(hub))
        expect(phone.locator("article .berth")).to_have_text("S1-7")
        keys = service.subscribe("phone")
        phone.evaluate(
            """device => fetch('api/me/devices', { method: 'POST', body: JSON.stringify(device),
                headers: { Authorization: `Bearer ${localStorage.getItem('trainhub.token')}`,
                           'Content-Type': 'application/json' } })""",
            {"endpoint": keys.endpoint, "keys": {"p256dh": keys.p256dh, "auth": keys.auth}},
        )
        phone.goto(f"http://127.0.0.1:{hub.port}/tte.html")  # no page of the passenger is open
        ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
        wait_for(lambda: service.messages)
        ((device, payload),) = service.messages
        assert (device, payload["kind"]) == ("phone", "OFFER")

        (one,) = push_to(phone, hub, payload)
        assert "S1-1" in one["body"]
        phone.goto(f"http://127.0.0.1:{hub.port}/{one['link']}&answer={one['actions'][0]}")
        expect(phone.locator("[data-is=trains] .berth")).to_have_text("S1-1")
        wait_for(lambda: phone.evaluate(SHOWN) == [])


def test_an_answer_on_one_device_closes_the_offer_on_the_others(hub, ask, browser):
    """The other device says what has become of it."""
    ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
    first, second = (new_context(browser).new_page() for _ in range(2))
    for each in (first, second):
        each.goto(url(hub))
        expect(each.locator("article.offer")).to_contain_text("Answer within")
    first.get_by_role("button", name="Decline").click()
    expect(second.locator("article.offer")).to_have_count(0)
    expect(second.locator("[data-is=news]")).to_have_text("The offer was declined.")
    first.context.close()
    second.context.close()


def test_the_link_of_a_letter_opens_its_offer(hub, ask, page):
    """A device that knows the token goes to the offer, and says so when it has ended."""
    ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
    (offer,) = ask("/api/trains/12345/offers")
    page.goto(url(hub))
    expect(page.locator("article.offer")).to_be_visible()
    link = f"http://127.0.0.1:{hub.port}/passenger.html#offer={offer['offerId']}"
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("article.offer")).to_be_focused()
    ask(f"/api/offers/{offer['offerId']}/withdraw", {})
    expect(page.locator("article.offer")).to_have_count(0)
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("[data-is=news]")).to_have_text("This offer has ended.")


def test_the_coach_is_drawn_with_the_own_berth(hub, ask, page):
    """A bay on each line; a screen reader hears the berth and its type."""
    page.goto(url(hub))
    plan = page.get_by_role("img", name="Coach S1, berth 7: side lower")
    expect(plan.locator("span")).to_have_count(72)
    expect(plan.locator(".own")).to_have_text("7")
    first, ninth = (plan.locator("span").nth(n).bounding_box() for n in (0, 8))
    assert first["x"] == ninth["x"]


def test_a_station_that_is_passed_twice_has_its_name(hub, page):
    """Never the code with an index, which only programs need."""
    ask = asker(hub)
    line = [*map(station, range(3)), {**station(3), "code": "BBB"}, station(4)]
    ask("/api/trains", chart(person(10, "BBB@1", "BBB@3"), stations=line))
    page.goto(url(hub))
    expect(page.locator("article h3")).to_have_text("Person 10, STATION BBB to STATION DDD")
    assert "@" not in page.locator("main").inner_text()


@pytest.mark.parametrize("language", ["en", "hi"])
def test_the_page_speaks_both_languages_without_a_fault_for_axe(hub, ask, axe, browser, language):
    """Log in, an offer, and the preferences, in both themes; `lang` and the title follow."""
    ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
    faults = []
    for scheme in ("light", "dark"):
        context = new_context(
            browser,
            locale=f"{language}-IN",
            color_scheme=scheme,
            viewport={"width": 360, "height": 800},
        )
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{hub.port}/passenger.html")
        page.locator("[data-is=login] button").wait_for()
        faults += axe(page)
        page.goto("about:blank")
        page.goto(url(hub))
        page.locator("article.offer").wait_for()
        wait_for(lambda page=page: page.locator("html").get_attribute("lang") == language)
        faults += axe(page)
        assert fits(page)
        page.locator("[data-is=language]").select_option("hi")
        wait_for(lambda page=page: "स्वीकार" in text_of(page, "article.offer"))
        context.close()
    assert not faults, "\n".join(sorted({str(each) for each in faults}))
