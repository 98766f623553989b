"""trainhub/domain/snapshot.py: a run resumed from a snapshot equals the run itself.

The random walks of test_train_random.py resume from snapshots at any moment.
"""

import copy
import json

import pytest
from railway import RUN, Driver, chart, person, register_chart
from voyage import to_its_end, voyages

from trainhub.core.codec import dump, load, reload
from trainhub.domain import commands as c
from trainhub.domain.events import UpgradeClosed, UpgradeConfirmed
from trainhub.domain.snapshot import RunSnapshot, resume, snapshot_of
from trainhub.domain.train import fold


def written(snapshot):
    """The snapshot as another process reads it."""
    return load(RunSnapshot, json.loads(json.dumps(dump(snapshot))))


def test_every_moment_of_a_run_can_be_gone_on_from():
    """A snapshot after any event, and the later events on top, lead to the same end."""
    for driver in voyages():
        state, first = fold(RUN, driver.events[:1]), driver.events[0]
        for place, event in enumerate(driver.events[1:], start=1):
            again = resume(RUN, first, written(snapshot_of(state)))
            for later in driver.events[place:]:
                again.evolve(later)
            assert again.seq == driver.state.seq
            for part in ("passengers", "offers", "freed", "upgrades", "waiting", "boarding_at"):
                assert getattr(again, part) == getattr(driver.state, part), (place, part)
            state.evolve(event)


def test_a_snapshot_stays_as_it_was_taken():
    """A snapshot does not change while the run goes on."""
    driver = Driver()
    driver.start()
    snapshot = snapshot_of(driver.state)
    before = copy.deepcopy(snapshot)
    driver.no_show(1)
    driver.go_to("EEE")
    assert snapshot == before


def test_a_run_with_a_replaced_chart_can_be_gone_on_from():
    """The snapshot has the chart that counts, and an older snapshot keeps what it knew."""
    driver = Driver(person(1))
    driver.give(register_chart(chart(person(2), person(3))))
    saved = written(snapshot_of(driver.state))
    again = resume(RUN, driver.events[0], saved)
    assert list(again.passengers) == list(driver.state.passengers)
    assert (again.amended, again.touched) == (True, False)
    assert snapshot_of(again) == saved
    older = dump(snapshot_of(Driver().state))
    del older["touched"], older["chart"]
    assert resume(RUN, Driver().events[0], reload(RunSnapshot, older)).touched


def test_a_snapshot_has_only_changed_passengers():
    """A snapshot has only the passengers who differ from the chart."""
    driver = Driver()
    driver.start()
    assert snapshot_of(driver.state).passengers == ()
    driver.board(2)
    assert [each.person for each in snapshot_of(driver.state).passengers] == ["4512345602/1"]


def test_an_offer_and_its_vacancy_are_one_thing_again():
    """After a resume, an offer refers to the vacancy that is matched next."""
    driver = Driver()
    driver.start()
    for number in (10, 11):
        driver.board(number)
    driver.no_show(1)
    again = resume(RUN, driver.events[0], written(snapshot_of(driver.state)))
    (offer,) = again.open_by_berth.values()
    assert again.freed[offer.key][0] is offer.vacancy
    again.carry_out(c.DenyOffer(train_no="12345", offer_id=offer.id), driver.now)
    (offer,) = again.open_by_berth.values()
    assert offer.made.pnr == "4512345611"


def test_a_snapshot_of_another_chart_is_refused():
    """A snapshot with people or stops that the chart lacks is refused."""
    driver = Driver()
    driver.start()
    driver.board(1)
    snapshot = snapshot_of(driver.state)
    with pytest.raises(ValueError, match="does not fit the chart"):
        resume(RUN, Driver(person(30)).events[0], snapshot)


def test_what_an_older_hub_wrote_is_read_as_it_was_meant():
    """A snapshot of an older hub is read without its newer fields."""
    driver = to_its_end()
    old = json.loads(json.dumps(dump(snapshot_of(driver.state))))
    for offer in old["offers"]:
        for name in ("deliveredAt", "devices", "answeredBy"):
            del offer[name]
    again = resume(RUN, driver.events[0], reload(RunSnapshot, old))
    assert again.offers.keys() == driver.state.offers.keys()
    known = {(o.delivered_at, o.devices, o.answered_by) for o in again.offers.values()}
    assert known == {(None, 0, None)}
    for event in driver.events:
        if isinstance(event, UpgradeClosed | UpgradeConfirmed):
            fields = dump(event)
            del fields["answeredBy"]
            assert reload(type(event), fields) == event
