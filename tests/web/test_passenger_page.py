"""static/passenger.html: a passenger sees their own train, answers an offer, and takes pushes."""

import json

import pytest
from load import asker
from railway import chart, person, rac
from waiting import PATIENCE, wait_for

from trainhub.access.identity import Tokens
from trainhub.access.keys import load_keys
from trainhub.domain.model import Role
from trainhub.hub.letters import KINDS

HOSTILE = '<img src=x onerror="document.title=1">'
WIDTHS = (360, 1280)


@pytest.fixture
def hub(start_hub):
    return start_hub()


@pytest.fixture
def ask(hub):
    """Ask the hub as its control room; train 12345 stands with a passenger on RAC aboard."""
    ask = asker(hub)
    ask("/api/trains", chart(person(1), {**rac(10, 1), "name": HOSTILE}, policy="OFFER"))
    ask("/api/trains/12345/start", {})
    ask("/api/trains/12345/passengers/4512345610/1/board", {})
    return ask


def url(hub, *more):
    token = Tokens(load_keys(hub.folder / "keys.json")).issue("IR_10", Role.PASSENGER, ["12345"])
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
    assert page.evaluate("document.documentElement.scrollWidth") <= width
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


def test_a_push_is_shown_with_its_answers(hub, page):
    """Chromium's own push handler gets the payload, and a newer one of its topic replaces it."""
    page.context.grant_permissions(["notifications"], origin=f"http://127.0.0.1:{hub.port}")
    page.goto(f"http://127.0.0.1:{hub.port}/passenger.html")
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
    payload = {
        "title": "Train 12345: a berth is offered to you",
        "body": "Berth S1-1 is held for Asha.",
        "topic": "offer-1",
        "language": "en",
        "link": "passenger.html#offer=1",
        "kind": "OFFER",
    }
    for body in ("old", payload["body"]):
        session.send(
            "ServiceWorker.deliverPushMessage",
            {
                "origin": f"http://127.0.0.1:{hub.port}",
                "registrationId": versions[0]["registrationId"],
                "data": json.dumps({**payload, "body": body}),
            },
        )
    shown = """async () => {
        const worker = await navigator.serviceWorker.ready;
        return (await worker.getNotifications()).map(({ title, body, tag, data, actions }) =>
            ({ title, body, tag, link: data.link, actions: actions.map(({ action }) => action) }));
    }"""
    wait_for(lambda: [each["body"] for each in page.evaluate(shown)] == [payload["body"]])
    (one,) = page.evaluate(shown)
    assert (one["title"], one["tag"]) == (payload["title"], "offer-1")
    assert (one["link"], one["actions"]) == (payload["link"], ["accept", "deny"])


@pytest.mark.parametrize("language", ["en", "hi"])
def test_the_page_speaks_both_languages_without_a_fault_for_axe(hub, ask, axe, browser, language):
    """Log in, an offer, and the preferences, in both themes; `lang` and the title follow."""
    ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
    faults = []
    for scheme in ("light", "dark"):
        context = browser.new_context(
            locale=f"{language}-IN", color_scheme=scheme, viewport={"width": 360, "height": 800}
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
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator("[data-is=language]").select_option("hi")
        wait_for(lambda page=page: "स्वीकार" in text_of(page, "article.offer"))
        context.close()
    assert not faults, "\n".join(sorted({str(each) for each in faults}))
