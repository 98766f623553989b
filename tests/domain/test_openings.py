"""trainhub/domain/openings.py: the index has the same openings as a scan of every berth."""

import sys
from collections import Counter
from datetime import timedelta

import pytest
from railway import TRAIN, Driver, person

from trainhub.domain import commands as c


def full_train(confirmed, waiting, policy="OFFER"):
    """A train without a free berth, and a waiting list as long as the argument."""
    people = [
        person(n, "AAA", "EEE", coach=f"S{1 + n // 72}", berth=1 + n % 72) for n in range(confirmed)
    ]
    wait = {"status": "WL", "coach": None, "berth": None}
    people += [person(5_000 + n, "AAA", "EEE", **wait, number=n + 1) for n in range(waiting)]
    for n, each in enumerate(people):
        each["pnr"] = f"45{n:08}"
    coaches = [
        {"code": f"S{k}", "class": "SL", "berths": 72} for k in range(1, 2 + confirmed // 72)
    ]
    driver = Driver(*people, coaches=coaches, policy=policy)
    driver.start()
    return driver


def mark(driver, kind, numbers):
    for n in numbers:
        driver.give(kind(**TRAIN, pnr=f"45{n:08}", index=1))


def look(state):
    """The openings of class SL, from a scan of every berth."""
    return sorted(filter(None, map(state.opening, state.freed)))


@pytest.mark.parametrize("policy", ["AUTO", "OFFER", "APPROVAL"])
def test_the_index_is_what_a_look_at_every_berth_gives(policy):
    """After no-shows, offers, denials and arrivals, the index agrees with the scan."""
    driver = full_train(60, 40, policy)
    state = driver.state

    def agrees():
        assert state.openings("SL") == look(state)

    for n in range(0, 60, 3):
        mark(driver, c.MarkNoShow, [n])
        agrees()
    mark(driver, c.UndoNoShow, [57])
    agrees()
    for n in range(60, 75):
        mark(driver, c.MarkBoarded, [n])
        agrees()
    for offer in list(state.open_by_berth.values())[:4]:
        driver.give(c.WithdrawOffer(**TRAIN, offer_id=offer.id))
        agrees()
    driver.now += timedelta(seconds=301)
    driver.give(c.ExpireOffers(**TRAIN))
    agrees()
    driver.go_to("BBB")
    agrees()
    driver.go_to("EEE")
    assert state.openings("SL") == []


def test_one_class_does_not_show_in_another():
    """A class without vacancies has no openings."""
    driver = full_train(10, 0)
    mark(driver, c.MarkNoShow, [1])
    assert len(driver.state.openings("SL")) == 1
    assert driver.state.openings("3A") == []


def calls(work):
    """The number of function calls: a measure of work that does not depend on the machine."""
    count = Counter()

    def note(frame, what, arg):
        count[what] += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count["call"] + count["c_call"]


def expire(size):
    driver = full_train(size, 2 * size)
    mark(driver, c.MarkBoarded, range(size, 3 * size))
    mark(driver, c.MarkNoShow, range(size))
    driver.now += timedelta(seconds=301)
    return lambda: driver.give(c.ExpireOffers(**TRAIN))


def board_after(size):
    driver = full_train(size, size)
    mark(driver, c.MarkNoShow, range(size))
    mark(driver, c.MarkBoarded, [size])
    return lambda: mark(driver, c.MarkBoarded, [size + 1])


def upgrade_all(size):
    driver = full_train(size, size, "AUTO")
    mark(driver, c.MarkBoarded, range(size, 2 * size))
    return lambda: mark(driver, c.MarkNoShow, range(size))


@pytest.mark.parametrize("make", [expire, upgrade_all], ids=lambda each: each.__name__)
def test_twice_as_many_people_are_about_twice_the_work(make):
    """Work grows in proportion to the number of people, and not with its square."""
    small, large = (calls(make(size)) for size in (100, 200))
    assert large < 3 * small


def test_a_passenger_who_boards_does_not_look_at_every_berth():
    """A boarding does not examine every berth or candidate."""
    small, large = (calls(board_after(size)) for size in (100, 200))
    assert large < small + 60
