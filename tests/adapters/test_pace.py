"""trainhub/adapters/pace.py: writes fit the line, however slow it is."""

from itertools import pairwise

import pytest

from trainhub.adapters.pace import BASE_SECONDS, BULK_BYTES, LONGEST_WRITE_SECONDS, SLOWER, Pace


class Line:
    """A line of `rate` bytes a second with a delay, over which documents go in bulks."""

    def __init__(self, rate, delay=0.01):
        self.rate, self.delay = rate, delay
        self.seconds = self.sent = self.failures = 0

    def carry(self, pace, sizes):
        """Send all documents as the store does, and return the bytes of each bulk that arrived."""
        waiting, bulks = list(sizes), []
        while waiting:
            bulk = [waiting.pop(0)]
            while waiting and sum(bulk) + waiting[0] <= pace.bulk_bytes:
                bulk.append(waiting.pop(0))
            size, rate = sum(bulk), pace.rate
            takes, may_take = self.delay + size / self.rate, pace.seconds(size)
            self.seconds += min(takes, may_take)
            self.sent += min(size, may_take * self.rate)
            if takes > may_take:
                pace.failed(rate)
                self.failures += 1
                assert self.failures < 50, "the same is sent for ever"
                waiting = bulk + waiting
            else:
                pace.succeeded(size, takes)
                bulks.append(size)
        return bulks


@pytest.mark.parametrize("delay", [0.001, 0.6])
@pytest.mark.parametrize("rate", [2_000, 20_000, 200_000, 2_000_000, 200_000_000])
def test_everything_gets_through_a_line_of_any_rate(rate, delay):
    """All documents arrive, with little more traffic than needed."""
    pace, line = Pace(), Line(rate, delay)
    sizes = [300] * 3_000 + [400_000] + [300] * 3_000
    assert sum(line.carry(pace, sizes)) == sum(sizes)
    assert line.sent < 3 * sum(sizes) + 200_000
    assert line.seconds < 60 + 4 * sum(sizes) / rate + 100 * delay


def test_the_largest_document_gets_through():
    """A document of 16 MB at 20 kB a second gets the quarter of an hour that it needs."""
    pace, line = Pace(), Line(20_000)
    assert line.carry(pace, [16 << 20]) == [16 << 20]
    assert pace.seconds(1 << 40) == LONGEST_WRITE_SECONDS


def test_bulks_shrink_on_failures_and_grow_on_success():
    """Bulks shrink to one document, and grow to full size on a good line."""
    pace = Pace()
    sizes = []
    for _ in range(20):
        sizes.append(pace.bulk_bytes)
        pace.failed(pace.rate)
    assert sizes[0] == BULK_BYTES
    assert all(after < before or after < 4_000 for before, after in pairwise(sizes))
    assert sizes[-1] < 4_000
    assert pace.is_slow
    bulks = Line(200_000_000, 0.002).carry(pace, [500] * 60_000)
    assert bulks[0] < 4_000
    assert not pace.is_slow
    assert max(bulks) > BULK_BYTES - 500
    assert len(bulks) < 30


def test_a_rate_that_fits_stays():
    """A rate that the line just carries is not raised, as that would fail again and again."""
    pace, line = Pace(), Line(20_000)
    line.carry(pace, [300] * 2_000)
    failures = line.failures
    line.carry(pace, [300] * 20_000)
    assert line.failures <= failures + 1


def test_writes_that_fail_beside_each_other_count_once():
    """Parallel writes that fail together lower the rate once."""
    pace = Pace()
    rate = pace.rate
    for _ in range(5):
        pace.failed(rate)
    assert pace.rate == rate * SLOWER


def test_a_usual_write_has_the_usual_time():
    """A frozen server is found within the usual time."""
    assert Pace().seconds(1_000) == pytest.approx(BASE_SECONDS, abs=0.01)
    assert Pace().seconds(BULK_BYTES) < 10
