"""trainhub/demo/guest.py: the link that the demo prints leads to an offer for a person."""

import re
from datetime import UTC, datetime

import pytest
from waiting import PATIENCE, until, wait_for

from trainhub.access.identity import Identity
from trainhub.demo.demo import Demo, DemoClock
from trainhub.demo.guest import LATECOMERS, guest_of, next_late
from trainhub.domain import commands as c
from trainhub.domain.model import OfferState, PersonState, Role
from trainhub.hub.protocol import read_command

OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
EVENING = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)


def offers_of(state):
    guest = guest_of(state)
    return [each for each in state.offers.values() if each.person == guest.person]


async def start(make_hub, speed):
    """Start the demo, and return it with its hub and the run whose guest has an open offer."""
    clock = DemoClock(EVENING, speed)
    hub = make_hub(clock=clock)
    demo = Demo(hub, clock, OPERATOR, None, seed=1, pauses=(0.01, 0.01))
    await demo.start()
    (train_no,) = re.findall(r"RAC on (\d+)", " ".join(demo.links("", NoTokens())))
    state = next(each for each in hub.runs.all() if each.chart.train_no == train_no)
    await until(lambda: guest_of(state).person in state.open_by_person)
    return demo, hub, state


class NoTokens:
    """An issuer whose tokens open nothing."""

    def issue(self, user, role, trains):
        return "token"


@pytest.mark.gen_test
async def test_a_denied_offer_is_followed_by_another(make_hub):
    """A person who was too slow, or has declined, sees the next offer. The demo answers none."""
    demo, hub, state = await start(make_hub, speed=0.001)
    for count in range(1, 4):
        await until(lambda count=count: len(offers_of(state)) == count)
        last = offers_of(state)[-1]
        assert last.state is OfferState.OPEN
        await hub.execute(read_command(c.DenyOffer, {"offerId": last.id}), OPERATOR)
    await demo.stop()


@pytest.mark.gen_test
async def test_a_guest_with_a_berth_gets_no_more_offers(make_hub):
    """The other latecomers stay DUE until they can no longer board."""
    demo, hub, state = await start(make_hub, speed=0.001)
    (offer,) = offers_of(state)
    await hub.execute(read_command(c.AcceptOffer, {"offerId": offer.id}), OPERATOR)
    assert guest_of(state).status == "CNF"
    await demo.stop()
    late = [each for each in state.passengers.values() if each.state is PersonState.NT]
    late = [each for each in late if each.booking.coach == "M1"]
    assert len(late) == 1 < len(LATECOMERS)
    assert next_late(state) is not None


def link_of(hub, words):
    """Return the link that the demo prints below a line with `words`."""
    wait_for(lambda: any("ADMIN" in line for line in hub.said))
    place = next(number for number, line in enumerate(hub.said) if words in line)
    wait_for(lambda: len(hub.said) > place + 1)
    return hub.said[place + 1].strip()


def test_the_links_of_the_demo_lead_to_an_offer(start_hub, page):
    """The passenger sees an offer and accepts it; the TTE's page has shown it with the name."""
    hub = start_hub("--demo")
    tte = page.context.new_page()
    page.goto(link_of(hub, "passenger on RAC"))
    tte.goto(link_of(hub, "TTE of"))
    patient = {"timeout": PATIENCE * 1000}
    page.wait_for_selector("article.offer", **patient)
    tte.wait_for_selector(".offer:has-text('Guest'):has-text('M1-')", **patient)
    assert "token" not in page.url + tte.url
    page.get_by_role("button", name="Accept").click()
    tte.wait_for_selector(".happened:has-text('Guest')", **patient)
    assert page.complaints == []
