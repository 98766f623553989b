"""static/monitor.html: the control room's views in Chromium, over a hub at default settings."""

import pytest
from railway import chart, person
from waiting import wait_for

HOSTILE = '<img src=x onerror="document.title=1">'
WIDTHS = (360, 768, 1280)


@pytest.fixture
def hub(start_again):
    """A hub whose train 12345 stands at AAA."""
    return start_again()


def fits(page, width):
    """Return whether the page scrolls down only."""
    return page.evaluate("document.documentElement.scrollWidth") <= width


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
    assert fits(page, width)
    assert not page.locator(".fleet").is_visible()
    assert page.complaints == []


def test_the_board_by_its_form_and_on_a_big_screen(hub, page):
    """A code is enough. The big screen has the board alone, until Esc; the link keeps both."""
    page.goto(hub.url)
    page.get_by_role("link", name="Stations").click()
    page.get_by_label("Station", exact=True).fill("ccc")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_selector("[data-is=boardTitle]:has-text('STATION CCC')")
    assert page.url.endswith("#station=CCC")
    page.get_by_role("button", name="Big screen").click()
    assert page.url.endswith("#station=CCC&screen=big")
    assert not page.locator("header.top").is_visible()
    page.reload()
    page.wait_for_selector("[data-is=boardTitle]:has-text('STATION CCC')")
    assert not page.locator("header.top").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("header.top").is_visible()
    page.get_by_role("link", name="12345 TEST EXP").click()
    page.wait_for_selector(".details h2:has-text('12345')")
    page.go_back()
    page.wait_for_selector("[data-is=boardTitle]:has-text('STATION CCC')")
    assert page.complaints == []


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
