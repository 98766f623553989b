"""One list says what does not work, asked of every part each time."""

from trainhub.health import Health


def test_each_part_is_asked_each_time():
    """A complaint is gone from the list as soon as its part no longer makes it."""
    health, disk, line = Health(), ["the disk is full"], ["the line is slow"]
    health.watch(lambda: disk, lambda: line)
    assert health.complaints() == ["the disk is full", "the line is slow"]
    disk.clear()
    assert health.complaints() == ["the line is slow"]
