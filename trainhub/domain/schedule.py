"""When each stop of a chart is due: the printed times as moments, also when clocks change."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from trainhub.core.errors import BadMessage
from trainhub.domain.model import Station

DueTimes = tuple[datetime | None, datetime | None]


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """The moment with the zone's offset at that moment, fixed.

    Two times of one zone are subtracted as the clock on the wall shows them, which is an hour off
    when the clocks change in between; times with fixed offsets are not.
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
    set back, a time that would lie before the previous one is taken the second time round.
    With `strict`, raises BadMessage if times run backwards, or if clocks that are set forward
    leave a time out.
    """
    last: datetime | None = None
    for place, station in enumerate(stations):
        came = goes = None
        if station.arrival is not None:
            came = _Time(start, station.arrival, station.day, zone, last)
            last = came.checked(f"stations[{place}]", "arrival", last) if strict else came.moment
        if station.departure is not None:
            goes = _Time(start, station.departure, station.day, zone, last)
            if came is not None and goes.moment < came.moment:
                goes = _Time(start, station.departure, station.day + 1, zone, last)
            last = goes.checked(f"stations[{place}]", "departure", last) if strict else goes.moment
        yield came.moment if came else None, goes.moment if goes else None


class _Time:
    """A printed time, and the moment that it means after the moment `last`."""

    def __init__(
        self, start: date, text: str, day: int, zone: ZoneInfo, last: datetime | None
    ) -> None:
        self._text, self._zone = text, zone
        self._naive = datetime.combine(start, time()) + since_midnight(text, day)
        # By way of UTC, as Python leaves a time that does not exist as it is.
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
                f"on {self._naive:%Y-%m-%d}: give the time that they show then, "
                f"{shown:%H:%M} on {shown:%Y-%m-%d}"
            )
        if last is not None and self.moment < last:
            raise BadMessage(f"{path}: a time is before that of the stop before it: mind the day")
        return self.moment
