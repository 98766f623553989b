"""trainhub/domain/handover.py: what the next TTE must know, coach by coach."""

from railway import TRAIN, Driver, person, rac

from trainhub.domain import commands as c
from trainhub.domain.handover import handover

COACHES = [{"code": code, "class": "SL", "berths": 16} for code in ("S1", "S2")]


def who(lines):
    return [int(each["pnr"][-2:]) for each in lines]


def relieved():
    """A run at BBB, whose TTE of S1 is to be relieved."""
    on_wl = person(20, status="WL", number=1, coach=None, berth=None)
    people = (
        *(person(1), person(2), person(3), person(4, "BBB"), person(5, "CCC")),
        *(person(6, coach="S2", berth=1), rac(10, 1), rac(11, 2), on_wl),
    )
    run = Driver(*people, coaches=COACHES)
    run.start()
    run.give(c.SignOn(**TRAIN, coaches=("S1",)), "T1")
    for number in (3, 10, 11):
        run.board(number)
    run.no_show(1)  # offered to RAC 1, and accepted
    (offer,) = run.state.open_by_berth.values()
    run.give(c.AcceptOffer(**TRAIN, offer_id=offer.id))
    run.board(1)  # after the berth was given away
    run.give(c.Remark(**TRAIN, text="no water", coach="S1"), "T1")
    run.give(c.Remark(**TRAIN, text="late by fog"), "T1")
    run.give(c.CheckCoach(**TRAIN, coach="S2"), "T1")
    run.go_to("BBB")
    return run


def test_the_next_tte_reads_what_is_to_be_done_in_a_coach():
    """A coach has its TTE, last check, passengers to check, open offers and remarks."""
    found = handover(relieved().state)
    first, second = found["coaches"]
    assert (first["coach"], first["tte"], first["checked"]) == ("S1", "T1", None)
    assert who(first["unchecked"]) == [2, 4]  # and not who boards at CCC
    assert [(each["berth"], who([each])) for each in first["offers"]] == [(7, [11])]
    assert 16 in [each["berth"] for each in first["vacant"]]
    assert [each["text"] for each in first["remarks"]] == ["no water"]
    assert (second["tte"], second["checked"], who(second["unchecked"])) == (None, "AAA", [6])
    assert second["offers"] == second["remarks"] == []


def test_the_next_tte_reads_of_people_without_a_berth():
    """Late claimants come in their turn, and the waiting list has no coach."""
    found = handover(relieved().state)
    assert who(found["lateClaimants"]) == [1]
    assert who(found["uncheckedNotSeated"]) == [20]
    assert [each["text"] for each in found["remarks"]] == ["late by fog"]
    assert (found["station"]["code"], found["departed"], found["status"]) == (
        "BBB",
        False,
        "RUNNING",
    )


def test_a_run_that_has_ended_has_nothing_to_be_done():
    """After the journey no one is to be checked; the remarks stay."""
    run = relieved()
    run.go_to("EEE")
    found = handover(run.state)
    assert [line["unchecked"] for line in found["coaches"]] == [[], []]
    assert found["uncheckedNotSeated"] == found["lateClaimants"] == []
    assert found["remarks"]
