"""The size and the time limit of a write to MongoDB, adapted to the line.

A bulk that is too large for the line times out as a whole. Sent again unchanged, it fails again.
"""

# Bytes of the largest bulk: this bounds the memory of the driver and of the server.
BULK_BYTES = 4 * 1024 * 1024
# Seconds that a full bulk should take on the line.
BULK_SECONDS = 3.0
# Seconds that every write may take in addition to its time on the line.
BASE_SECONDS = 3.0
# A write may take this many times its expected time on the line.
LINE_PATIENCE = 2.0
# Seconds of the longest write: a document of 16 MB at the slowest rates.
LONGEST_WRITE_SECONDS = 3600.0
# Bytes a second of a line that is not slow.
FULL_RATE = BULK_BYTES / BULK_SECONDS
# Bytes a second at the least: a bulk is then a few documents, or a single larger document.
SLOWEST_RATE = 1024.0
# The factor by which a failed write changes the rate.
SLOWER = 1 / 8
# The factor by which a fast write changes the rate.
FASTER = 2.0


class Pace:
    """The expected rate of the line. A write that fails lowers the rate, a fast one raises it."""

    def __init__(self) -> None:
        self.rate = FULL_RATE

    @property
    def is_slow(self) -> bool:
        return self.rate < FULL_RATE

    @property
    def bulk_bytes(self) -> int:
        """Bytes that a bulk may have. One document may have more."""
        return int(self.rate * BULK_SECONDS)

    def seconds(self, size: int) -> float:
        """Return how long a write of `size` bytes may take."""
        return min(BASE_SECONDS + LINE_PATIENCE * size / self.rate, LONGEST_WRITE_SECONDS)

    def succeeded(self, size: int, seconds: float) -> None:
        """Raise the rate if the line carried far more than expected."""
        if size >= FASTER * self.rate * seconds:
            self.rate = min(FASTER * self.rate, FULL_RATE)

    def failed(self, rate: float) -> None:
        """Lower the rate. `rate` is that of the write's start: several writes may fail together."""
        self.rate = max(min(self.rate, rate * SLOWER), SLOWEST_RATE)
