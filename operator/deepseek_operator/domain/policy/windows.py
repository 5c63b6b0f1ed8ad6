"""When a window of the week is open, by the clocks of its zone.

A window belongs to the day on which it begins, whatever day it ends on. Moments are compared in UTC, so that a window over a
change of clocks is an hour longer or shorter, as people's night is: 22:00 to 06:00 in Berlin lasted 7 hours on 2026-03-28. A
time that clocks skip comes as much later as they are set forward; of a time that they show twice a window begins at the first
and ends at the second.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
"""As `date.weekday` counts them."""
_WEEK = range(-2, 10)
"""Days around the present one on which a window may begin that is open, or that opens or closes next."""


@dataclass(frozen=True)
class Window:
    """A time of some days of the week.

    Attributes:
        days: of `DAYS`, on which it begins.
        begins: on those days, by the clocks of the zone.
        ends: the next time that clocks show this: on the next day where it is not after `begins`.
        zone: its name in the IANA database.
    """

    days: frozenset[str]
    begins: time
    ends: time
    zone: str

    @property
    def is_known(self) -> bool:
        """Whether there is a zone of that name."""
        return _zone(self.zone) is not None

    def is_open(self, now: datetime) -> bool:
        """Whether it is open now; never where nobody knows its zone."""
        return any(begins <= now < ends for begins, ends in self._around(now))

    def next_change(self, now: datetime) -> datetime | None:
        """When it opens or closes next; None where it never does."""
        moments = sorted({moment for window in self._around(now) for moment in window if moment > now})
        return next((one for one in moments if self.is_open(one) != self.is_open(now)), None)

    def _around(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Beginnings and ends of the week around now, in UTC."""
        zone = _zone(self.zone)
        if zone is None:
            return
        today = now.astimezone(zone).date()
        for offset in _WEEK:
            day = today + timedelta(days=offset)
            if DAYS[day.weekday()] in self.days:
                last = day if self.ends > self.begins else day + timedelta(days=1)
                yield _moment(day, self.begins, zone), _last_moment(last, self.ends, zone)


def next_change(windows: Iterable[Window], now: datetime) -> datetime | None:
    """When the first of them opens or closes next."""
    return min((moment for one in windows if (moment := one.next_change(now)) is not None), default=None)


def _zone(name: str) -> ZoneInfo | None:
    """Whatever is no zone is none: a folder of the database and a path out of it too."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


def _last_moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Of a time that clocks show twice the second; of one that they skip the same as `_moment`."""
    return max(_moment(day, at, zone), _moment(day, at.replace(fold=1), zone))
