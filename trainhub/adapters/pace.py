"""How large a write to MongoDB may be, and how long it may take: as the line allows.

A bulk that is too large for the line times out whole. Sent again as it is, it never gets through.
"""

# Bytes at which a bulk is cut: what waits in the driver and in the server stays small.
BULK_BYTES = 4 * 1024 * 1024
# Seconds that a full bulk is meant to take on the line, and that any write is given besides.
BULK_SECONDS = 3.0
BASE_SECONDS = 3.0
# A write may take this many times what the line should need for it.
LINE_PATIENCE = 2.0
# A document of 16 MB may take an hour.
LONGEST_WRITE_SECONDS = 3600.0
# Bytes a second. At the slowest rate a bulk is a few documents, or a single larger document.
FULL_RATE = BULK_BYTES / BULK_SECONDS
SLOWEST_RATE = 1024.0
# What one write changes the rate by, down and up.
SLOWER = 1 / 8
FASTER = 2.0


class Pace:
    """The rate that is expected of the line: lowered when a write fails on it, raised by use."""

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
