"""Two runs on which everything happens that can happen: every type of event, in its place."""

from railway import TRAIN, Driver

from trainhub.domain import commands as c
from trainhub.domain import events as e


def to_its_end() -> Driver:
    """A run with all but TRAIN_CANCELLED: offers denied and accepted, a skip, a delay, marks."""
    driver = Driver()
    driver.start()
    driver.no_show(1)
    driver.undo(1)
    for number in (2, 10, 11, 20):
        driver.board(number)
    driver.no_show(1)  # its berth is offered to RAC 1, and then to RAC 2
    for command in (c.DenyOffer, c.AcceptOffer):
        (offer,) = driver.state.open_by_berth.values()
        driver.give(c.AcknowledgeOffer(**TRAIN, offer_id=offer.id))
        driver.give(command(**TRAIN, offer_id=offer.id))
    third = {"pnr": "4512345603", "index": 1}
    driver.give(c.ChangeBoarding(**TRAIN, **third, station_code="CCC"))
    driver.give(c.CancelJourney(**TRAIN, **third))
    driver.give(c.CorrectClock(**TRAIN, by_seconds=3600))
    driver.give(c.SetDelay(**TRAIN, delay_minutes=5, reason="fog"))
    driver.give(c.SetPlatform(**TRAIN, station_code="EEE", platform="9"))
    driver.give(c.SkipStation(**TRAIN, station_code="DDD"))
    driver.give(c.Announce(**TRAIN, text="mind the gap", to=c.To.USER, user="IR_1"))
    driver.go_to("CCC")
    driver.depart("CCC")
    driver.arrive("EEE")
    return driver


def to_its_cancelling() -> Driver:
    """A run that ends before its time."""
    driver = Driver()
    driver.start()
    driver.board(2)
    driver.give(c.CancelTrain(**TRAIN, reason="a flood"))
    return driver


def voyages() -> tuple[Driver, Driver]:
    """Both runs; together they have every type of event."""
    both = to_its_end(), to_its_cancelling()
    assert {type(event) for driver in both for event in driver.events} == set(e.TYPES)
    return both
