"""When each stop of a chart is due: the printed times as moments, even if clocks change."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from trainhub.core.errors import BadMessage
from trainhub.domain.model import Station

# How far a reporting device's clock may be ahead of the hub's: more is a mistake in the report.
CLOCK_SKEW = timedelta(minutes=1)

DueTimes = tuple[datetime | None, datetime | None]


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment with the zone's offset at that moment, fixed.

    Python subtracts two times of one zone by the clock on the wall. That is an hour off if the
    clocks change in between. With fixed offsets the difference is right.
    """
    there = moment.astimezone(zone)
    return there.replace(tzinfo=timezone(there.utcoffset() or timedelta()))


def since_midnight(text: str, day: int) -> timedelta:
    """Return the time "HH:MM" of a day, counted from the midnight before day 1."""
    hour, minute = text.split(":")
    return timedelta(days=day - 1, hours=int(hour), minutes=int(minute))


def due_times(
    start: date, stations: Iterable[Station], zone: ZoneInfo, *, strict: bool = False
) -> Iterator[DueTimes]:
    """Yield arrival and departure of each stop, by the clock of its own time zone or of `zone`.

    `day` is the day of the arrival; a halt over midnight departs on the next one. When clocks are
    set back, a time occurs twice: the second one counts if the first is before the previous stop.
    When clocks are set forward over a time, the train comes later by as much: at 03:30 for 02:30.
    So do the times after it, until the printed one is in order again.
    With `strict`, raises BadMessage if times run backwards.
    """
    reader = _Reader(start)
    for index, station in enumerate(stations):
        own = zone if station.timezone is None else ZoneInfo(station.timezone)
        came = goes = None
        if station.arrival is not None:
            came = reader.read(station.arrival, station.day, own)
            if strict:
                reader.check(f"stations[{index}].arrival", came)
            reader.last = came
        if station.departure is not None:
            goes = reader.read(station.departure, station.day, own)
            over_midnight = came is not None and goes < came
            if over_midnight:
                goes = reader.read(station.departure, station.day + 1, own)
            if strict:
                reader.check(f"stations[{index}].departure", goes)
            if over_midnight:
                reader.reading = (
                    f"; stations[{index}] is read as leaving at {station.departure} on day "
                    f"{station.day + 1}, since day is that of the arrival"
                )
            reader.last = goes
        yield came, goes


class _Reader:
    """Reads printed times in running order. `last` is the moment of the previous one.

    `late` is by how much the train is late, because clocks were set forward. `reading` says how a
    halt over midnight was read, which may be what is wrong with the next time.
    """

    def __init__(self, start: date) -> None:
        self._midnight = datetime.combine(start, time())
        self.last: datetime | None = None
        self.late = timedelta()
        self.reading = ""

    def read(self, text: str, day: int, zone: ZoneInfo) -> datetime:
        """Return the moment of a printed time."""
        printed = self._midnight + since_midnight(text, day)
        # By way of UTC, because Python does not change a time that does not exist.
        first, second = (
            local(printed.replace(tzinfo=zone, fold=fold).astimezone(UTC), zone) for fold in (0, 1)
        )
        missing = first.replace(tzinfo=None) - printed
        if missing:
            self.late = missing
            return first
        last = self.last
        if last is not None and first < last:
            if last <= second:
                return second
            later = local((first + self.late).astimezone(UTC), zone)
            return later if last <= later else first
        self.late = timedelta()
        return first

    def check(self, path: str, moment: datetime) -> None:
        """Raise BadMessage if the moment lies before the previous one."""
        if self.last is not None and moment < self.last:
            raise BadMessage(
                f"{path} is before the previous time of the chart: check day and timezone"
                f"{self.reading}"
            )
        self.reading = ""
