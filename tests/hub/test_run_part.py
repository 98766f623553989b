"""A train number that runs twice on a date: 12345 in the morning, 12345-2 in the evening."""

from datetime import date

import pytest
from callers import ADMIN
from railway import MORNING, chart, person, rac, register_chart, station

from trainhub.access.identity import ANONYMOUS, Identity
from trainhub.core.errors import Conflict, HubError
from trainhub.domain import commands as c
from trainhub.domain.errors import AmbiguousRun, UnknownTrain
from trainhub.domain.model import Role
from trainhub.domain.offers import run_of_offer

FIRST, SECOND = "12345/2026-11-23", "12345-2/2026-11-23"
DAY = date(2026, 11, 23)


def evening_chart(**fields):
    """Return the chart of another line, ten hours after the morning's."""
    stations = [
        {**station(place), "code": f"XX{place}", "name": f"Station {place}"}
        | {"arrival": f"{19 + place}:00" if place else None}
        | {"departure": f"{19 + place}:10" if place < 4 else None}
        for place in range(5)
    ]
    people = [person(30, "XX0", "XX4", berth=1), rac(31, 1, "XX0", "XX4")]
    return chart(*people, **{"trainNo": "12345-2", "stations": stations, **fields})


def meant(hub, train_no, identity=ANONYMOUS, day=None):
    return hub.find(train_no, day, identity).run


def caller(role, user, *trains):
    return Identity(user, role, frozenset(trains))


async def both(make_hub):
    """Return a hub with both runs of the date."""
    hub = make_hub()
    for whole in (chart(), evening_chart()):
        await hub.execute(register_chart(whole), ADMIN)
    return hub


@pytest.mark.gen_test
async def test_each_run_has_its_name(make_hub):
    """A date with the number is the run without a part, and the part names the other."""
    hub = await both(make_hub)
    assert meant(hub, "12345", day=DAY) == FIRST
    assert meant(hub, "12345-2", day=DAY) == meant(hub, "12345-2") == SECOND
    with pytest.raises(UnknownTrain):
        meant(hub, "12345-3")
    started = await hub.execute(c.StartJourney(train_no="12345-2"), ADMIN)
    assert (started["trainNo"], started["startDate"]) == ("12345-2", "2026-11-23")
    assert hub.state(FIRST).status == "SCHEDULED"


@pytest.mark.gen_test
async def test_the_number_alone_means_one_of_them(make_hub):
    """A booking comes first, then the time; AMBIGUOUS_RUN lists the runs."""
    hub = await both(make_hub)
    with pytest.raises(AmbiguousRun, match="name one by its trainNo and startDate") as raised:
        meant(hub, "12345")  # both are due within 12 hours
    assert raised.value.details == {
        "startDates": ["2026-11-23"],
        "runs": [
            {"trainNo": "12345", "startDate": "2026-11-23"},
            {"trainNo": "12345-2", "startDate": "2026-11-23"},
        ],
    }
    assert meant(hub, "12345", caller(Role.PASSENGER, "IR_30", "12345")) == SECOND
    assert meant(hub, "12345", caller(Role.PASSENGER, "IR_1", "12345")) == FIRST
    await hub.execute(c.StartJourney(train_no="12345", start_date=DAY), ADMIN)
    assert meant(hub, "12345") == FIRST
    await hub.execute(c.CancelTrain(train_no="12345", start_date=DAY), ADMIN)
    assert meant(hub, "12345") == SECOND
    assert hub.runs.moved(MORNING) == {"12345"}


@pytest.mark.parametrize(
    ("trains", "covered", "found"),
    [
        (["12345"], {FIRST, SECOND}, "AMBIGUOUS_RUN"),
        (["12345-2"], {SECOND}, SECOND),
        (["12345-2/2026-11-23"], {SECOND}, SECOND),
        (["12345/2026-11-23"], {FIRST}, FIRST),
        (["12345-3/2026-11-23"], set(), "UNKNOWN_TRAIN"),
    ],
)
@pytest.mark.gen_test
async def test_a_token_for_the_number_covers_its_parts(make_hub, trains, covered, found):
    """A token for a part, or for one run of a date, covers and means that alone."""
    hub = await both(make_hub)
    tte = caller(Role.TTE, "T1", *trains)
    assert {run for run in (FIRST, SECOND) if tte.covers(run)} == covered
    if found in (FIRST, SECOND):
        assert meant(hub, "12345", tte) == found
        return
    with pytest.raises(HubError) as raised:
        meant(hub, "12345", tte)
    assert raised.value.code == found


@pytest.mark.gen_test
async def test_an_offer_s_id_names_its_run(make_hub):
    """A command on an offer finds the run of the part."""
    hub = await both(make_hub)
    train = {"train_no": "12345-2"}
    await hub.execute(c.StartJourney(**train), ADMIN)
    await hub.execute(c.MarkBoarded(**train, pnr="4512345631", index=1), ADMIN)
    await hub.execute(c.MarkNoShow(**train, pnr="4512345630", index=1), ADMIN)
    (offer,) = hub.state(SECOND).offers
    assert offer.startswith("12345-2.2026-11-23.")
    assert run_of_offer(offer) == ("12345-2", "2026-11-23")
    accepted = await hub.execute(c.AcceptOffer(**train, start_date=DAY, offer_id=offer), ADMIN)
    assert (accepted["trainNo"], accepted["berth"]) == ("12345-2", 1)


@pytest.mark.gen_test
async def test_a_chart_of_another_line_does_not_replace_the_first(make_hub):
    """The error asks for a part. A chart that shares a station corrects the first, as before."""
    hub = make_hub()
    await hub.execute(register_chart(chart()), ADMIN)
    with pytest.raises(Conflict, match=r"goes from AAA to EEE: register .* like 12345-2"):
        await hub.execute(register_chart(evening_chart(trainNo="12345")), ADMIN)
    await hub.execute(register_chart(chart(person(1))), ADMIN)
    assert len(hub.state(FIRST).passengers) == 1


@pytest.mark.gen_test
async def test_a_retired_part_leaves_the_other(make_hub):
    """Runs of one number are found by it until the last is retired."""
    hub = await both(make_hub)
    hub.runs.retire(FIRST, 7.0)
    assert meant(hub, "12345") == SECOND
    hub.runs.retire(SECOND, 8.0)
    with pytest.raises(UnknownTrain):
        meant(hub, "12345")
