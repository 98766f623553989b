"""trainhub/domain/model.py: the keys of runs, people and berths."""

from datetime import date

from railway import chart, person

from trainhub.domain.chart import read_chart
from trainhub.domain.model import STAFF, Role, berth_key, person_key, run_key


def test_keys_read_as_the_protocol_has_them():
    """The key of a run is 12345/2026-11-23, of a person PNR/index, of a berth S1-15."""
    assert run_key("12345", date(2026, 11, 23)) == "12345/2026-11-23"
    assert person_key("4512345678", 1) == "4512345678/1"
    assert berth_key("S1", 15) == "S1-15"


def test_a_chart_knows_its_run_and_its_people():
    """A chart has the key of its run, and a booking the key of its person."""
    checked, *_ = read_chart(chart(person(1), person(1, index=2, berth=2)))
    assert checked.run == "12345/2026-11-23"
    assert [booking.person for booking in checked.passengers] == ["4512345601/1", "4512345601/2"]


def test_a_machine_feed_is_no_staff():
    """Only TTE and ADMIN are staff."""
    assert {Role.TTE, Role.ADMIN} == STAFF
