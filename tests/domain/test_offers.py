"""trainhub/domain/offers.py: the life of an offer, and cases outside the table of rules.

test_rulebook.py has the rules of which passenger gets which berth.
"""

from datetime import timedelta

import pytest
from day import pnr, types
from railway import RUN, TRAIN, Driver, person, rac

from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.errors import OfferClosed, UnknownOffer
from trainhub.domain.model import Role
from trainhub.domain.offers import offer_id, run_of_offer


def waiting(who, number=1, **fields):
    return person(who, status="WL", number=number, coach=None, berth=None, **fields)


def begin(*people, policy="OFFER", **fields):
    run = Driver(*people, policy=policy, **fields)
    run.start()
    return run


def cancel(run, number):
    return run.give(c.CancelJourney(**TRAIN, pnr=pnr(number), index=1))


def board_later(run, number, code):
    return run.give(c.ChangeBoarding(**TRAIN, pnr=pnr(number), index=1, station_code=code))


def answer(run, kind, number):
    (found,) = (o.id for o in run.state.open_by_berth.values() if o.made.pnr == pnr(number))
    return run.give(kind(**TRAIN, offer_id=found))


def on_offer(run):
    """Map each berth on offer to the number of its passenger."""
    return {key: int(o.made.pnr[-2:]) for key, o in run.state.open_by_berth.items()}


def upgraded(run):
    return {int(each.pnr[-2:]): f"{each.coach}-{each.berth}" for each in run.state.upgrades}


# --- outcomes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "by", "policy"),
    [
        (c.AcceptOffer, Role.PASSENGER, "OFFER"),
        (c.DenyOffer, Role.TTE, "OFFER"),
        (c.WithdrawOffer, Role.ADMIN, "OFFER"),
        (c.ApproveOffer, Role.TTE, "APPROVAL"),
    ],
)
def test_an_offer_knows_the_role_of_who_answered(kind, by, policy):
    """An offer records the caller's role. The next offer, which follows by itself, has no role."""
    run = begin(person(1), rac(10, 1), rac(11, 2), policy=policy)
    for number in (10, 11):
        run.board(number)
    run.no_show(1)
    (offer,) = run.state.open_by_berth.values()
    run.state.carry_out(kind(**TRAIN, offer_id=offer.id), run.now, by)
    assert offer.answered_by is by
    assert all(each.answered_by is None for each in run.state.open_by_berth.values())


def test_an_offer_ended_by_clock_or_rules_has_no_answering_role():
    """An offer that expires or is withdrawn by the rules has no `answeredBy`."""
    run = begin(person(1), rac(10, 1))
    run.board(10)
    run.no_show(1)
    run.state.carry_out(c.UndoNoShow(**TRAIN, pnr=pnr(1), index=1), run.now, Role.TTE)
    run.no_show(1)
    run.now += timedelta(seconds=300)
    run.give(c.ExpireOffers(**TRAIN))
    ends = [(each.state, each.answered_by) for each in run.state.offers.values()]
    assert ends == [("WITHDRAWN", None), ("EXPIRED", None)]


def test_the_first_device_s_time_is_kept():
    """An offer keeps the time of its first device, and counts the others."""
    run = begin(person(1), rac(10, 1))
    run.board(10)
    run.no_show(1)
    (offer,) = run.state.open_by_berth.values()
    first = run.now
    for devices in (1, 2):
        (event,) = run.give(c.AcknowledgeOffer(**TRAIN, offer_id=offer.id))
        assert (event.devices, event.audience) == (devices, e.TO_STAFF)
        run.now += timedelta(seconds=10)
    assert (offer.delivered_at, offer.devices) == (first, 2)


# --- ids, and the time an offer has ------------------------------------------------------------


def test_an_offer_s_id_names_its_run():
    """An offer's id has its run and event, so an answer needs no train."""
    assert offer_id(RUN, 17) == "12345.2026-11-23.17"
    assert run_of_offer("12345.2026-11-23.17") == ("12345", "2026-11-23")


@pytest.mark.parametrize(
    "text",
    ["", "17", "12345.2026-11-23", "12345/2026-11-23.1", "12345.2026-11-23.\u0661", "x" * 99],
)
def test_what_is_no_offer_s_id_is_unknown(text):
    """The error for an invalid id does not repeat the id."""
    with pytest.raises(UnknownOffer) as raised:
        run_of_offer(text)
    assert raised.value.message == "there is no offer of that id"


@pytest.mark.parametrize("kind", [c.AcceptOffer, c.DenyOffer, c.ApproveOffer, c.WithdrawOffer])
def test_an_offer_that_never_was_is_unknown(kind):
    """An id without an offer is unknown."""
    with pytest.raises(UnknownOffer):
        begin().give(kind(**TRAIN, offer_id="12345.2026-11-23.1"))


@pytest.mark.parametrize(("fields", "seconds"), [({}, 300), ({"offerSeconds": 60}, 60)])
def test_an_offer_runs_out_to_the_second(fields, seconds):
    """An offer expires at `expiresAt`, for answers and for the timer."""
    run = begin(person(1), rac(11, 1), **fields)
    run.board(11)
    pending, told = run.no_show(1)[2:]
    assert pending.expires_at == told.expires_at == run.now + timedelta(seconds=seconds)
    run.now = pending.expires_at - timedelta(seconds=1)
    assert run.give(c.ExpireOffers(**TRAIN)) == []
    run.now = pending.expires_at
    for kind in (c.AcceptOffer, c.DenyOffer, c.WithdrawOffer):
        with pytest.raises(OfferClosed) as raised:
            run.give(kind(**TRAIN, offer_id=pending.offer_id))
        assert raised.value.details == {"outcome": "EXPIRED"}
    (closed,) = run.give(c.ExpireOffers(**TRAIN))
    assert (closed.offer_id, closed.outcome) == (pending.offer_id, "EXPIRED")
    assert run.state.offers[pending.offer_id].closed_at == run.now
    assert run.give(c.ExpireOffers(**TRAIN)) == []


def test_of_many_answers_one_wins():
    """Of many answers one wins, and each later one is a conflict that has the outcome."""
    run = begin(person(1), rac(11, 1))
    run.board(11)
    found = run.no_show(1)[2].offer_id
    run.give(c.AcceptOffer(**TRAIN, offer_id=found))
    for kind in (c.AcceptOffer, c.DenyOffer, c.WithdrawOffer, c.ApproveOffer) * 3:
        with pytest.raises(OfferClosed) as raised:
            run.give(kind(**TRAIN, offer_id=found))
        assert raised.value.details == {"outcome": "ACCEPTED"}
    assert upgraded(run) == {11: "S1-1"}


def test_a_berth_that_was_refused_is_not_offered_again_at_a_later_station():
    """A passenger who denied a berth is not offered its later vacancy either."""
    run = Driver(rac(10, 1), rac(11, 2, "AAA", "BBB"), rac(12, 3, "CCC", "EEE"))
    run.start()
    run.give(c.CancelJourney(**TRAIN, pnr=pnr(12), index=1))
    run.board(10)
    run.board(11)
    run.go_to("BBB")
    (offer,) = run.state.open_by_berth.values()
    run.depart("BBB")
    run.arrive("CCC")
    assert types(run.give(c.DenyOffer(**TRAIN, offer_id=offer.id))) == ["UPGRADE_CLOSED"]
    assert not run.state.open_by_berth


def test_a_denial_counts_for_a_vacancy_of_the_berth_that_begins_on_the_way():
    """A denied berth is not offered again at the station where a second vacancy of it begins."""
    run = begin(person(1, "AAA", "BBB"), person(2, "BBB", berth=1), rac(10, 1))
    run.board(10)
    cancel(run, 2)
    run.no_show(1)
    answer(run, c.DenyOffer, 10)
    run.go_to("BBB")
    assert not run.state.open_by_berth


def test_who_shares_a_berth_has_it_up_to_the_other_s_new_boarding_station():
    """A half that is left on the way makes the berth whole for the other holder."""
    run = Driver(rac(10, 1, "AAA", "CCC"), rac(11, 2, "BBB"))
    run.start()
    run.no_show(10)
    run.board(10)
    assert on_offer(run) == {}
    board_later(run, 11, "CCC")
    assert on_offer(run) == {"S1-7": 10}


# --- what is told, and what an upgrade keeps ---------------------------------------------------


def test_an_upgrade_tells_old_and_new_berth():
    """After an upgrade the status is CNF, and `upgradedFrom` has the old place on RAC."""
    run = begin(person(1), rac(11, 4), policy="AUTO")
    run.board(11)
    confirmed, vacated = run.no_show(1)[2:]
    assert (confirmed.coach, confirmed.berth) == ("S1", 1)
    assert (confirmed.old_coach, confirmed.old_berth) == ("S1", 7)
    assert (confirmed.status, confirmed.number, confirmed.cause) == ("RAC", 4, "NO_SHOW")
    assert (vacated.berth, vacated.from_, vacated.to, vacated.cause) == (
        7,
        "AAA",
        "EEE",
        "UPGRADED",
    )
    passenger = run.state.passenger(pnr(11), 1)
    assert (passenger.status, passenger.upgraded_from) == ("CNF", "RAC 4")
    assert passenger.berth_key == "S1-1"


def test_the_old_half_berth_is_free_from_the_current_station_on():
    """An upgrade frees the old half berth from the current station."""
    run = begin(person(1), rac(11, 1), rac(12, 2), policy="OFFER")
    run.board(11)
    run.go_to("CCC")
    run.no_show(1)
    answer(run, c.AcceptOffer, 11)
    at = run.state.occupancy.at
    assert [at("S1-7", leg) for leg in range(4)] == [
        *([f"{pnr(11)}/1", f"{pnr(12)}/1"] for _ in range(2)),
        *([f"{pnr(12)}/1"] for _ in range(2)),
    ]
    assert [f"{pnr(11)}/1" in at("S1-1", leg) for leg in range(4)] == [False, False, True, True]


def test_the_person_who_shared_is_told():
    """The person who shares the old berth on the way ahead is told of an upgrade."""
    run = begin(person(1), rac(11, 1), rac(12, 2, "AAA", "BBB"), rac(13, 3, "BBB"))
    run.board(11)
    run.no_show(1)
    events = answer(run, c.AcceptOffer, 11)
    assert types(events) == ["UPGRADE_CONFIRMED", "BERTH_VACATED", *["CO_PASSENGER_CHANGED"] * 2]
    assert [(each.user, each.berth) for each in events[2:]] == [("IR_12", 7), ("IR_13", 7)]


def test_who_shared_once_and_sits_elsewhere_is_not_told():
    """A person who shared the berth before, and has another berth now, is not told."""
    people = person(1), person(2), rac(11, 1), rac(12, 2)
    run = begin(*people)
    for number in (11, 12):
        run.board(number)
    run.go_to("BBB")
    run.no_show(1)
    answer(run, c.AcceptOffer, 11)
    answer(run, c.DenyOffer, 12)
    run.no_show(2)
    events = answer(run, c.AcceptOffer, 12)
    assert types(events) == ["UPGRADE_CONFIRMED", "BERTH_VACATED"]


def test_who_shared_and_has_alighted_is_not_told():
    """A person who shared the berth and has alighted is not told."""
    run = begin(person(1), rac(11, 1), rac(12, 2, "AAA", "BBB"))
    for number in (11, 12):
        run.board(number)
    run.go_to("BBB")
    while run.state.open_by_person:
        answer(run, c.DenyOffer, 11)
    run.no_show(1)
    assert "CO_PASSENGER_CHANGED" not in types(answer(run, c.AcceptOffer, 11))


def test_every_upgrade_keeps_its_reason():
    """An upgrade has the candidates in order, and why each was passed over."""
    people = (
        *(person(1, end="DDD"), person(2, "DDD", berth=1), person(3)),
        *(rac(11, 9, end="CCC"), rac(12, 10), rac(13, 11, "BBB") | {"berth": 15}),
        *(rac(14, 12, end="BBB") | {"berth": 15}, rac(15, None, end="DDD") | {"berth": 23}),
    )
    run = begin(*people, minUpgradeKm=150)
    for number in (11, 12, 14, 15):
        run.board(number)
    run.no_show(1)
    answer(run, c.DenyOffer, 11)
    assert on_offer(run) == {"S1-1": 15}
    reason = run.state.open_by_berth["S1-1"].made.reason
    assert [(int(each.pnr[-2:]), each.outcome) for each in reason] == [
        (11, "had an offer of this berth before"),
        (12, "the berth is taken from DDD"),
        (13, "is DUE, not aboard"),
        (14, "the journey is under 150 km"),
        (15, "chosen"),
    ]
    (confirmed, *_) = answer(run, c.AcceptOffer, 15)
    assert confirmed.reason == reason == run.state.upgrades[0].reason


def test_who_has_an_open_offer_is_passed_over_with_that_reason():
    """A candidate with an open offer is passed over."""
    run = begin(person(1), person(2), rac(11, 1), rac(12, 2) | {"berth": 15})
    for number in (11, 12):
        run.board(number)
    run.no_show(1)
    run.no_show(2)
    reason = run.state.open_by_berth["S1-2"].made.reason
    assert [each.outcome for each in reason] == ["has an open offer", "chosen"]


# --- matching after each event -----------------------------------------------------------------


def test_a_closed_offer_frees_its_passenger_for_another_berth():
    """After an offer is closed, another vacant berth is offered to its passenger."""
    run = begin(person(1), person(2), rac(11, 1))
    run.board(11)
    run.no_show(1)
    run.no_show(2)
    assert on_offer(run) == {"S1-1": 11}
    answer(run, c.DenyOffer, 11)
    assert on_offer(run) == {"S1-2": 11}


def test_an_expired_offer_leaves_its_passenger_a_candidate_for_other_berths():
    """After an offer expires, its passenger is a candidate for the next vacancy."""
    run = begin(person(1), person(2), rac(11, 1))
    run.board(11)
    run.no_show(1)
    run.no_show(2)
    run.now += timedelta(seconds=300)
    run.give(c.ExpireOffers(**TRAIN))
    assert on_offer(run) == {"S1-2": 11}


def test_a_cancelled_journey_that_lies_ahead_is_a_vacancy_when_the_train_gets_there():
    """A cancelled journey frees its berth from its boarding station."""
    run = begin(person(1, "AAA", "BBB"), person(2, "BBB", berth=1), rac(11, 1), policy="AUTO")
    run.board(11)
    cancel(run, 2)
    assert upgraded(run) == {}
    run.go_to("BBB")  # the holder of berth 1 was not marked, and that journey is over
    assert upgraded(run) == {11: "S1-1"}


def test_a_vacancy_outlives_a_journey_whose_station_was_skipped():
    """A journey from a skipped station does not end a vacancy: no passenger could board there."""
    run = begin(
        person(1, end="BBB", berth=7, status="RAC", number=3),
        rac(11, 1),
        rac(12, 2, "CCC", "DDD"),
        policy="AUTO",
    )
    run.board(1)
    run.go_to("BBB")
    run.give(c.SkipStation(**TRAIN, station_code="CCC"))
    run.board(11)
    assert upgraded(run) == {}
    run.depart("BBB")
    run.arrive("DDD")
    assert upgraded(run) == {11: "S1-7"}


def test_a_vacancy_ahead_outlives_a_holder_before_it():
    """A holder on the way to a vacancy does not end the vacancy."""
    run = begin(person(1, "AAA", "CCC"), person(2, "CCC", berth=1), rac(11, 1), policy="AUTO")
    run.board(11)
    cancel(run, 2)
    run.go_to("CCC")
    assert upgraded(run) == {11: "S1-1"}


def test_a_half_that_ends_unmarked_makes_the_whole_berth_fit():
    """When an unmarked sharer's journey ends, the whole berth is vacant."""
    people = person(1), rac(11, 1), rac(12, 2, "BBB", "CCC"), rac(13, 3) | {"berth": 15}
    run = begin(*people, rac(14, 4) | {"berth": 15}, policy="AUTO")
    for number in (11, 13):
        run.board(number)
    run.no_show(1)
    assert upgraded(run) == {11: "S1-1"}
    run.go_to("BBB")
    assert upgraded(run) == {11: "S1-1"}
    run.go_to("CCC")
    assert upgraded(run) == {11: "S1-1", 13: "S1-7"}


def test_an_undone_no_show_does_not_end_a_vacancy_further_on():
    """An undone NT occupies the berth up to the destination, and a later vacancy stays."""
    run = begin(person(1, "AAA", "BBB"), person(2, "BBB", berth=1), rac(11, 1), policy="AUTO")
    run.no_show(1)
    cancel(run, 2)
    run.undo(1)
    run.board(11)
    assert upgraded(run) == {}
    run.go_to("BBB")
    assert upgraded(run) == {11: "S1-1"}


def test_a_later_boarding_makes_a_vacant_berth_fit():
    """When the next holder boards later, the berth suits a longer journey."""
    people = person(1, "AAA", "BBB"), person(2, "BBB", berth=1), rac(11, 1, "AAA", "CCC")
    run = begin(*people, policy="AUTO")
    run.board(11)
    run.no_show(1)
    assert upgraded(run) == {}
    board_later(run, 2, "CCC")
    assert upgraded(run) == {11: "S1-1"}


def test_a_berth_on_offer_is_held_when_more_of_it_falls_free():
    """An offer stays open when more of its berth becomes free."""
    run = begin(person(1, end="CCC"), person(2, "CCC", berth=1), rac(11, 2, end="CCC"), rac(12, 1))
    for number in (11, 12):
        run.board(number)
    run.no_show(1)
    (offer,) = run.state.open_by_berth.values()
    assert on_offer(run) == {"S1-1": 11}
    events = cancel(run, 2)
    assert "UPGRADE_CLOSED" not in types(events)
    assert offer.state == "OPEN"
    assert on_offer(run) == {"S1-1": 11}


@pytest.mark.parametrize("policy", ["AUTO", "OFFER", "APPROVAL"])
def test_the_policy_says_who_is_told_what(policy):
    """AUTO upgrades at once, OFFER asks the passenger, and APPROVAL tells the staff only."""
    run = begin(person(1), rac(11, 1), policy=policy)
    run.board(11)
    follows = run.no_show(1)[2:]
    assert (
        types(follows)
        == {
            "AUTO": ["UPGRADE_CONFIRMED", "BERTH_VACATED"],
            "OFFER": ["UPGRADE_PENDING", "UPGRADE_OFFER"],
            "APPROVAL": ["UPGRADE_PENDING"],
        }[policy]
    )
    if policy == "AUTO":
        assert follows[0].offer_id is None
    if policy == "OFFER":
        assert follows[1].audience == (e.User("IR_11", Role.PASSENGER),)


def test_who_waits_longest_has_no_berth_to_free():
    """An upgrade from WL frees no berth and tells no other passenger."""
    run = begin(person(1), waiting(20), policy="AUTO")
    run.board(20)
    assert types(run.no_show(1)) == ["NO_SHOW", "BERTH_VACATED", "UPGRADE_CONFIRMED"]
    assert run.state.passenger(pnr(20), 1).upgraded_from == "WL 1"
