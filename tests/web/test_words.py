"""static/words.js: the pages in English and Hindi, above all the control room."""

import re
from itertools import chain
from pathlib import Path

import pytest
from chromium import fits
from load import admin_token
from playwright.sync_api import expect
from railway import make_an_offer, person
from waiting import wait_for

from trainhub.core.errors import HubError
from trainhub.core.notifications import Channel, Outcome
from trainhub.domain.commands import COMMANDS
from trainhub.domain.events import EVENTS, Cause
from trainhub.domain.model import (
    AlightReason,
    AllotReason,
    BerthType,
    BlockReason,
    OfferState,
    PersonState,
    RunStatus,
)
from trainhub.hub import letters

STATIC = Path(__file__).parents[2] / "static"
LANGUAGES = ("en", "hi")
# The pair of files → the pages that it is for.
PAIRS = {
    "words": ("tte.html", "tte.js", "passenger.html", "passenger.js"),
    "words.control": ("monitor.html", "monitor.js"),
}
NAMED = re.compile(r"""(?:data-(?:text|label|hint|placeholder)="|\bsay\(')([\w.-]+)""")


@pytest.fixture
def hub(start_again):
    """A hub where train 7 has an offer, a passenger who has not turned up, and one who waits."""
    hub = start_again()
    make_an_offer(hub.ask, person(1))
    return hub


def sources(names):
    """Return the text of these files, and of the modules that they import."""
    found, left = {}, [*names]
    while left:
        name = left.pop()
        if name not in found:
            found[name] = (STATIC / name).read_text()
            left += re.findall(r"from '\./([\w.]+)'", found[name])
    return "".join(found.values())


def texts_of(page, hub, pair):
    """Return the texts of each language."""
    page.goto(f"{hub.url}/tte.html")
    read = "(file) => import(file).then((words) => words.default)"
    return [page.evaluate(read, f"./static/{pair}.{each}.js") for each in LANGUAGES]


@pytest.mark.parametrize("pair", PAIRS)
def test_each_language_has_each_text(page, hub, pair):
    """With the same values; each text is used, and each that is used is there."""
    english, hindi = texts_of(page, hub, pair)
    assert english.keys() == hindi.keys()
    for name in english:
        values = [set(re.findall(r"\{\w+\}", str(each[name]))) for each in (english, hindi)]
        assert values[0] == values[1], name
    code = sources(PAIRS[pair])
    for name in english:
        start = name.rpartition(".")[0]
        known = (f'"{name}"', f"'{name}'", f"`{start}.${{")
        assert any(each in code for each in known), f"{name} is not used"
    assert set(NAMED.findall(code)) - english.keys() == set()


def test_each_code_of_the_hub_has_words(page, hub):
    """A new state, command, event, error or kind of letter needs a text in both languages."""
    enums = (
        *(AlightReason, AllotReason, BerthType, BlockReason, Cause, Channel),
        *(OfferState, Outcome, PersonState),
    )
    kinds = [each.name for each in vars(letters).values() if isinstance(each, letters.Kind)]
    wanted = {*chain(*enums), *kinds, *COMMANDS, *EVENTS, *error_codes()}
    for texts in texts_of(page, hub, "words.control"):
        for prefix, codes in (
            ("code", wanted),
            ("status", RunStatus),
            ("coach.state", PersonState),
        ):
            assert {f"{prefix}.{each}" for each in codes} - texts.keys() == set()


def error_codes(cls=HubError):
    for each in cls.__subclasses__():
        if "code" in vars(each):
            yield each.code
        yield from error_codes(each)


# --- the control room in Hindi -------------------------------------------------------------------

TABS = ("events", "schedule", "coaches", "waiting", "offers", "report", "log", "actions")
VIEWS = (
    *("", "station=BBB", "station=", "view=hub"),
    *(f"run=7/2026-11-23&tab={tab}" for tab in TABS),
    "run=7/2026-11-23&tab=person&person=4512345610/1",
)
# What a reader sees or hears, without what is in English on purpose and what the hub words.
SHOWN = """() => {
  const all = [];
  const out = 'script, style, code, [lang=en], .standing, h1';
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement, data } = walker.currentNode;
    if (!parentElement.closest(out) && !parentElement.closest('noscript')) all.push(data);
  }
  for (const name of ['title', 'aria-label', 'placeholder']) {
    for (const el of document.querySelectorAll(`[${name}]`)) all.push(el.getAttribute(name));
  }
  return all.filter((each) => /[A-Za-z]/.test(each));
}"""
# Names, codes and terms that Indian Railways writes in Latin letters too.
DATA = re.compile(
    r"\b(TEST EXP|STATION [A-E]{3}|[A-E]{3}|Person \d+|T1|S1(-\d+)?|control|ADMIN|SERVICE|UTC"
    r"|SL|SM|SU|L|M|U|CNF|RAC|WL|NT|PNR|CSV|MongoDB|trainhub|PASSENGER|[0-9a-f-]{8,}|v?\d[\w.+-]*)\b"
)


def say_hindi(page):
    page.locator("[data-is=language]").select_option("hi")
    expect(page.locator("html")).to_have_attribute("lang", "hi")


def left_in_latin(page):
    return [each for each in page.evaluate(SHOWN) if re.search("[A-Za-z]", DATA.sub("", each))]


def test_no_english_is_left_in_the_views(hub, page):
    """But names, codes, what the hub words, and terms that Hindi writes in Latin letters."""
    page.goto(f"{hub.url}/#token={admin_token(hub)}")
    page.wait_for_selector("[data-is=attentionList] li")
    say_hindi(page)
    for view in VIEWS:
        page.goto(f"{hub.url}/#{view}")
        if view == "view=hub":
            page.wait_for_selector(".connections li")
            page.wait_for_selector(".charts figure")
        if view == "station=BBB":
            page.wait_for_selector("[data-is=boardRows] tr")
        if "tab=" in view and "events" not in view:
            page.wait_for_selector("[data-is=part] > *")
        if "events" in view:
            page.wait_for_selector(".events li")
        wait_for(lambda: page.locator("body[data-link=live]").count())
        assert left_in_latin(page) == [], view
    assert page.complaints == []


def test_the_choice_of_a_language_keeps_the_view_and_the_focus(hub, page):
    """The open part speaks the other language, half-filled forms stay, and a reload keeps it."""
    page.goto(f"{hub.url}/#token={admin_token(hub)}&run=7/2026-11-23&tab=actions")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_label("Minutes").fill("25")
    choice = page.locator("[data-is=language]")
    choice.focus()
    say_hindi(page)
    assert page.evaluate("document.activeElement.dataset.is") == "language"
    assert page.url.endswith("#run=7/2026-11-23&tab=actions")
    expect(page.locator("[data-tab=actions]")).to_have_text("कार्रवाई")
    expect(page.locator("[data-is=nextReport]")).to_contain_text("STATION AAA से प्रस्थान")
    assert page.get_by_label("मिनट").input_value() == "25"
    expect(page.locator("[data-is=running] + span")).to_have_text("चल रही हैं")
    for tab, selector, words in (
        ("events", ".events", "चार्ट लोड हुआ"),
        ("offers", ".offers", "बाकी"),
        ("schedule", ".schedule", "आगमन"),
    ):
        page.locator(f"[data-tab={tab}]").click()
        expect(page.locator(selector)).to_contain_text(words)
    page.reload()
    expect(page.locator(".schedule")).to_contain_text("आगमन")
    assert choice.input_value() == "hi"
    choice.select_option("en")
    expect(page.locator(".schedule")).to_contain_text("Arrives")
    page.goto(f"{hub.url}/passenger.html")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert page.complaints == []


@pytest.mark.parametrize("view", ["run=7/2026-11-23", "station=BBB", "view=hub"])
def test_what_is_shown_is_said_again_in_the_other_language(hub, page, view):
    """Nothing waits for the next event or answer of the hub."""
    page.goto(f"{hub.url}/#token={admin_token(hub)}&{view}")
    shown = {"run=7/2026-11-23": ".events li", "station=BBB": "[data-is=boardRows] tr"}
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_selector(shown.get(view, ".charts figure"))
    page.wait_for_selector("[data-is=attentionList] li", state="attached")
    page.route("**/api/**", lambda route: None)  # from now on the hub answers nothing
    say_hindi(page)
    wait_for(lambda: left_in_latin(page) == [])
    page.locator("[data-is=language]").select_option("en")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    wait_for(lambda: not re.search("[\u0900-\u097f]", page.locator("main").inner_text()))


@pytest.mark.parametrize(("language", "other"), [("en", "hi"), ("hi", "en")])
def test_a_hub_that_is_away_is_told_within_the_window(hub, page, language, other):
    """And another language, which only the hub has, cannot be chosen then."""
    page.add_init_script(f"localStorage.setItem('trainhub.language', '{language}')")
    page.goto(f"{hub.url}/#token={admin_token(hub)}")
    page.wait_for_selector("[data-is=attentionList] li")
    hub.kill()
    page.wait_for_selector("body[data-link=lost]")
    for width in (360, 1280, 1600):
        page.set_viewport_size({"width": width, "height": 800})
        assert fits(page)
    choice = page.locator("[data-is=language]")
    choice.select_option(other)
    expect(choice).to_have_value(language)
    expect(page.locator("html")).to_have_attribute("lang", language)
