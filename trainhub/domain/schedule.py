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
    """Yield arrival and departure of each stop.

    `day` is the day of the arrival; a halt over midnight departs on the next one. When clocks are
    set back, a time occurs twice: the second one counts if the first is before the previous stop.
    With `strict`, raises BadMessage if times run backwards, or if a time does not exist because
    clocks are set forward.
    """
    last: datetime | None = None
    for index, station in enumerate(stations):
        came = goes = None
        if station.arrival is not None:
            came = _Time(start, station.arrival, station.day, zone, last)
            last = came.checked(f"stations[{index}]", "arrival", last) if strict else came.moment
        if station.departure is not None:
            goes = _Time(start, station.departure, station.day, zone, last)
            if came is not None and goes.moment < came.moment:
                goes = _Time(start, station.departure, station.day + 1, zone, last)
            last = goes.checked(f"stations[{index}]", "departure", last) if strict else goes.moment
        yield came.moment if came else None, goes.moment if goes else None


class _Time:
    """A printed time, and its moment, given that the previous time was at `last`."""

    def __init__(
        self, start: date, text: str, day: int, zone: ZoneInfo, last: datetime | None
    ) -> None:
        self._text, self._zone = text, zone
        self._naive = datetime.combine(start, time()) + since_midnight(text, day)
        # By way of UTC, because Python does not change a time that does not exist.
        first, second = (
            local(self._naive.replace(tzinfo=zone, fold=fold).astimezone(UTC), zone)
            for fold in (0, 1)
        )
        self.moment = second if last is not None and first < last <= second else first

    def checked(self, path: str, name: str, last: datetime | None) -> datetime:
        """Return the moment. Raises BadMessage if it does not exist or lies before `last`."""
        shown = self.moment.replace(tzinfo=None)
        if shown != self._naive:
            raise BadMessage(
                f"{path}.{name}: the clocks of {self._zone.key} are set forward over {self._text} "
                f"on {self._naive:%Y-%m-%d}: give the time that they show instead, "
                f"{shown:%H:%M} on {shown:%Y-%m-%d}"
            )
        if last is not None and self.moment < last:
            raise BadMessage(f"{path}.{name} is before the previous time of the chart: check day")
        return self.moment
