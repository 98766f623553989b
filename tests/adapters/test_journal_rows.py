"""trainhub/adapters/journal_rows.py: a row is read as it was written, or refused by its name."""

from pathlib import Path

import pytest
from railway import RUN, Driver

from trainhub.adapters.journal_rows import (
    ROW_VERSION,
    read_record,
    read_snapshot,
    record_row,
    seal,
    snapshot_row,
    unseal,
)
from trainhub.core.journal import Deed, JournalFailed, Record
from trainhub.domain.model import Role
from trainhub.domain.snapshot import snapshot_of
from trainhub.hub.vocabulary import RAILWAY

PATH = Path("/srv/data/journal.db")


def resealed(table, row, **changes):
    """Return the row with other values and a checksum that fits them."""
    return seal(table, *(changes.get(str(place), each) for place, each in enumerate(row[:-1])))


def test_a_row_is_its_table_s_and_no_other_s():
    """The same values in another table or another order are refused."""
    assert unseal(PATH, "places", seal("places", "flushed", 7)) == ("flushed", 7)
    for row in (seal("ahead", "flushed", 7), seal("places", 7, "flushed")):
        with pytest.raises(JournalFailed, match="places"):
            unseal(PATH, "places", ("flushed", 7, row[-1]))


def test_any_changed_value_is_found():
    """The message about a changed value names the row, the file and what to do."""
    row = seal("places", "flushed", 7)
    for changed in (("flushed", 8, row[-1]), ("flushes", 7, row[-1]), (*row[:-1], row[-1] ^ 1)):
        with pytest.raises(JournalFailed) as caught:
            unseal(PATH, "places", changed)
        assert f"of the journal {PATH} cannot be believed" in str(caught.value)
        assert "restore the data folder from a copy" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_checksum_covers_the_deed():
    """A deed cannot be added or changed; a record without one keeps its older checksum."""
    event = Driver().events[0]
    row = record_row(
        RAILWAY, Record(7, RUN, 1, event, Deed("T1", Role.TTE, None, "START_JOURNEY", None))
    )
    for other in (row[6].replace("T1", "T2"), None):
        with pytest.raises(JournalFailed, match="record 7"):
            read_record(PATH, RAILWAY, (*row[:6], other, row[7]))
    bare = record_row(RAILWAY, Record(7, RUN, 1, event))
    assert bare[-1] == seal("records", *bare[:6])[-1]
    with pytest.raises(JournalFailed, match="record 7"):
        read_record(PATH, RAILWAY, (*bare[:6], row[6], bare[7]))


def test_records_and_snapshots_come_back():
    """Records and snapshots are read as they were written."""
    driver = Driver()
    driver.start()
    record = Record(7, RUN, 2, driver.events[1])
    assert read_record(PATH, RAILWAY, record_row(RAILWAY, record)) == record
    deed = Deed("Jané\n", Role.TTE, None, "START_JOURNEY", None)
    record = Record(7, RUN, 2, driver.events[1], deed)
    assert read_record(PATH, RAILWAY, record_row(RAILWAY, record)) == record
    snapshot = snapshot_of(driver.state)
    assert read_snapshot(PATH, RAILWAY, snapshot_row(RUN, snapshot)) == (RUN, snapshot)


def test_what_a_newer_hub_wrote_is_refused():
    """A row of a later version is refused: the hub that wrote it is needed."""
    driver = Driver()
    row = record_row(RAILWAY, Record(7, RUN, 1, driver.events[0]))
    with pytest.raises(
        JournalFailed, match=f"record 7 .* has version 2, this hub reads {ROW_VERSION}"
    ):
        read_record(PATH, RAILWAY, resealed("records", row, **{"3": 2}))
    row = snapshot_row(RUN, snapshot_of(driver.state))
    with pytest.raises(JournalFailed, match="has version 9"):
        read_snapshot(PATH, RAILWAY, resealed("snapshots", row, **{"2": 9}))


def test_a_row_that_is_sealed_and_makes_no_sense():
    """A row with a valid checksum and senseless values is refused by its number."""
    row = record_row(RAILWAY, Record(7, RUN, 1, Driver().events[0]))
    with pytest.raises(JournalFailed, match="record 7"):
        read_record(PATH, RAILWAY, resealed("records", row, **{"4": "GOSSIP"}))
    with pytest.raises(JournalFailed, match="record 7"):
        read_record(PATH, RAILWAY, resealed("records", row, **{"6": '["T1", "TTE"]'}))
    row = snapshot_row(RUN, snapshot_of(Driver().state))
    with pytest.raises(JournalFailed, match="it says seq 1, not 2"):
        read_snapshot(PATH, RAILWAY, resealed("snapshots", row, **{"1": 2}))
