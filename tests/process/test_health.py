"""One list says what does not work, asked of every part each time."""

from trainhub.process.health import LATELY_MINUTES, Health, Lately


def test_each_part_is_asked_each_time():
    """A complaint is gone from the list as soon as its part no longer makes it."""
    health, disk, line = Health(), ["the disk is full"], ["the line is slow"]
    health.watch(lambda: disk, lambda: line)
    assert health.complaints() == ["the disk is full", "the line is slow"]
    disk.clear()
    assert health.complaints() == ["the line is slow"]


def test_an_observer_looks_at_each_note_and_is_asked():
    """What has to be watched by the second is, and speaks for itself."""

    class Observer:
        looked = 0

        def note(self):
            self.looked += 1

        def complaints(self):
            return [f"looked {self.looked} times"]

    health = Health()
    health.observe(Observer())
    health.note()
    health.note()
    assert health.complaints() == ["looked 2 times"]


def test_what_was_given_up_is_told_for_an_hour():
    """All of the last hour together; what was before the start is not counted."""
    now, count = [0.0], [7]
    lately = Lately(lambda: count[0], "{} were given up", lambda: now[0])
    assert lately.complaints() == []
    for minutes, given_up, told in (
        *((0, 3, ["3 were given up"]), (30, 2, ["5 were given up"]), (1, 0, ["5 were given up"])),
        *((LATELY_MINUTES - 31, 0, ["2 were given up"]), (30, 0, []), (600, 0, [])),
    ):
        now[0] += 60 * minutes
        count[0] += given_up
        lately.note()
        assert lately.complaints() == told
