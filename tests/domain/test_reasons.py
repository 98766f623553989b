"""trainhub/domain/reasons.py: a reason covers every passenger passed over, and stays small."""

import json

from railway import MORNING

from trainhub.core.codec import dump, reload
from trainhub.domain import events as e
from trainhub.domain.model import Booking
from trainhub.domain.reasons import CHOSEN, GROUPS, NAMED, OTHER, Considered, Queue, shorten


def booking(number, status="RAC"):
    return Booking(
        pnr=f"45{number or 0:08}",
        index=1,
        irctc_id="IR_1",
        name="Person",
        from_="AAA",
        to="BBB",
        class_="SL",
        status=status,
        number=number,
    )


def reason(outcomes, misfit=str):
    """The reason after candidates numbered from 1 with these outcomes."""
    queue = Queue()
    for number, outcome in enumerate(outcomes, start=1):
        queue.add(booking(number), outcome)
    return queue.reason(booking(len(outcomes) + 1), misfit)


def groups(passed):
    return [(each.first, each.last, each.count, each.outcome) for each in passed]


def test_a_few_are_named_and_the_chosen_one_is_last():
    """A reason names each passenger if few were passed over."""
    named, passed = reason(["due"] * NAMED)
    assert [each.number for each in named] == list(range(1, NAMED + 2))
    assert [each.outcome for each in named] == ["due"] * NAMED + [CHOSEN]
    assert passed == ()


def test_neighbors_with_one_outcome_are_one_group():
    """A group has its first and last number, so each passenger can find the outcome."""
    _, passed = reason(["asked"] * 8 + ["due"] * 3 + ["asked"] * 4)
    assert groups(passed) == [(6, 8, 3, "asked"), (9, 11, 3, "due"), (12, 15, 4, "asked")]
    assert {each.status for each in passed} == {"RAC"}


def test_rac_and_wl_are_never_one_group():
    """RAC and WL have separate groups: both number from 1."""
    queue = Queue()
    for number in range(NAMED):
        queue.add(booking(number), "due")
    queue.add(booking(40), "due")
    queue.add(booking(1, "WL"), "due")
    _, passed = queue.reason(booking(2, "WL"), str)
    assert [(each.status, each.first) for each in passed] == [("RAC", 40), ("WL", 1)]


def test_what_depends_on_the_berth_is_asked_for_each_berth():
    """One queue serves all offers of one moment."""
    queue = Queue()
    for number in range(1, NAMED + 3):
        queue.add(booking(number), None)
    for why in ("taken from CCC", "taken from DDD"):
        named, passed = queue.reason(booking(9), lambda _, why=why: why)
        assert named[0].outcome == why
        assert groups(passed) == [(NAMED + 1, NAMED + 2, 2, why)]


def test_a_later_reason_of_a_queue_leaves_an_earlier_one_alone():
    """A later reason of a queue does not change an earlier one."""
    queue = Queue()
    for number in range(1, 10):
        queue.add(booking(number), "due")
    _, first = queue.reason(booking(10), str)
    queue.add(booking(10), "due")
    _, second = queue.reason(booking(11), str)
    assert (first[0].last, second[0].last) == (9, 10)


def test_too_many_groups_become_one_for_each_outcome():
    """When groups overlap, `count` has the number of passengers."""
    _, passed = reason(["due"] * NAMED + ["due", "asked"] * 100)
    assert groups(passed) == [(6, 204, 100, "due"), (7, 205, 100, "asked")]


def test_a_reason_has_a_bounded_number_of_groups():
    """With very many outcomes, the rarest share a group, and every passenger is counted."""
    outcomes = ["due"] * 50 + [f"taken from {n}" for n in range(200)] + ["asked"] * 50
    _, passed = reason(outcomes)
    assert len(passed) <= GROUPS
    assert sum(each.count for each in passed) == len(outcomes) - NAMED
    assert {"due", "asked", OTHER} <= {each.outcome for each in passed}


def test_an_older_event_is_bounded_as_it_is_read():
    """A long reason of an older hub is shortened when it is read."""
    everybody = [
        {"pnr": "4512345601", "index": 1, "status": "RAC", "number": n, "outcome": "is DUE"}
        for n in range(1, 3_000)
    ]
    everybody[-1]["outcome"] = CHOSEN
    made = dict.fromkeys(("user", "pnr", "name", "from", "to"), "x") | {
        "berthType": "LOWER",
        "offerId": "12345.2026-11-23.7",
        "index": 1,
        "status": "RAC",
        "number": 2_999,
        "coach": "S1",
        "berth": 1,
        "oldCoach": None,
        "oldBerth": None,
        "cause": "NO_SHOW",
        "at": MORNING.isoformat(),
        "expiresAt": MORNING.isoformat(),
        "reason": everybody,
    }
    event = reload(e.UpgradePending, made)
    assert [each.number for each in event.reason] == [1, 2, 3, 4, 5, 2_999]
    assert groups(event.passed_over) == [(6, 2_998, 2_993, "is DUE")]
    assert len(json.dumps(dump(event))) < 2_000
    assert reload(e.UpgradePending, dump(event)) == event


def test_a_short_older_event_stays_as_it_was():
    """A short reason of an older hub stays unchanged."""
    few = tuple(
        Considered(pnr="4512345601", index=1, status="RAC", number=n, outcome="is DUE")
        for n in range(NAMED + 1)
    )
    assert shorten(few) == (few, ())
