"""trainhub/web/attention.py: what the staff's page asks every few seconds."""

from datetime import timedelta

import pytest
from callers import OPERATOR
from railway import MORNING, RUN, person, rac

from trainhub.core.audience import Standing
from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.web.attention import LAPSE_SOON, MOST_OFFERS

PATH = "/api/attention"


@pytest.fixture
def offered(io_loop, site):
    """Train 12345 offers berth S1-1 to person 10, on RAC, for a minute."""

    async def start():
        people = (person(1), rac(10, 1))
        await site.register(*people, policy="OFFER", offerSeconds=60)
        for command in (
            c.StartJourney(train_no="12345"),
            c.MarkBoarded(train_no="12345", pnr="4512345610", index=1),
            c.MarkNoShow(train_no="12345", pnr="4512345601", index=1),
        ):
            await site.hub.execute(command, OPERATOR)

    io_loop.run_sync(start)


@pytest.mark.gen_test
async def test_an_offer_that_no_device_has(call, site, offered):
    """It is told until a device has it; then the passenger knows."""
    (offer,) = (await call("GET", PATH, who="TTE")).result["unseenOffers"]
    ends = MORNING + timedelta(seconds=60)
    assert offer.pop("expiresAt").startswith(f"{ends + timedelta(hours=5.5):%Y-%m-%dT%H:%M:%S}")
    name = offer.pop("offerId")
    on = {"trainNo": "12345", "startDate": "2026-11-23"}
    assert offer == {**on, "name": "Person 10", "berth": "S1-1"}
    seq = int(name.rpartition(".")[2]) + 1
    standing = Standing(Role.PASSENGER, "IR_10")
    await site.hub.acknowledge(site.hub.state(RUN), seq, standing, call)
    assert (await call("GET", PATH, who="TTE")).result["unseenOffers"] == []


@pytest.mark.gen_test
async def test_an_offer_with_time_left_is_not_told(call, site):
    """Devices have some time to come back before the staff is called."""
    seconds = int(LAPSE_SOON.total_seconds()) + 60
    await site.register(person(1), rac(10, 1), policy="OFFER", offerSeconds=seconds)
    await call("POST", "/api/trains/12345/start", {}, "TTE")
    await call("POST", "/api/trains/12345/passengers/4512345610/1/board", {}, "TTE")
    await call("POST", "/api/trains/12345/passengers/4512345601/1/no-show", {}, "TTE")
    assert len((await call("GET", "/api/trains/12345/offers?state=OPEN", who="TTE")).result) == 1
    assert (await call("GET", PATH, who="TTE")).result["unseenOffers"] == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("who", "status"), [(None, 401), ("PASSENGER", 403), ("SERVICE", 403), ("OTHER_TTE", 200)]
)
async def test_only_the_staff_of_the_run_is_told(call, offered, who, status):
    """Names are for the run's staff."""
    answer = await call("GET", PATH, who=who)
    assert answer.status == status
    assert b"Person 10" not in answer.body


@pytest.mark.gen_test
async def test_the_answer_is_bounded(call, site):
    """A train with many open offers fills one answer at most; the first to end come first."""
    free = [person(who) for who in range(1, MOST_OFFERS + 12) if who % 8 != 7]
    waiting = [
        person(100 + who, status="WL", number=who, coach=None, berth=None, pnr=f"46{who:08}")
        for who in range(1, MOST_OFFERS + 12)
    ]
    await site.register(*free, *waiting, policy="OFFER", offerSeconds=60)
    await call("POST", "/api/trains/12345/start", {}, "TTE")
    for people, mark in ((waiting, "board"), (free, "no-show")):
        for each in people:
            path = f"/api/trains/12345/passengers/{each['pnr']}/1/{mark}"
            await call("POST", path, {}, "ADMIN")
    made = (await call("GET", "/api/trains/12345/offers?state=OPEN", who="TTE")).result
    assert len(made) > MOST_OFFERS
    offers = (await call("GET", PATH, who="TTE")).result["unseenOffers"]
    assert len(offers) == MOST_OFFERS
    assert offers == sorted(offers, key=lambda offer: offer["expiresAt"])
    late = (await call("GET", PATH, who="TTE")).result["late"]
    assert set(late) == {each.shown for each in site.parts.followers}
