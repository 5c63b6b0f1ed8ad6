"""Windows of the week, minute by minute, against what clocks of their zones show."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from deepseek_operator.domain.policy.windows import DAYS, Window

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Africa/Casablanca",
)
TIMES = st.times(max_value=time(23, 59)).map(lambda at: at.replace(second=0, microsecond=0))
WINDOWS = st.builds(Window, st.frozensets(st.sampled_from(DAYS), min_size=1), TIMES, TIMES, st.sampled_from(ZONES))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda at: at.replace(tzinfo=UTC))
BERLIN_SPRING, BERLIN_AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
NIGHT = Window(frozenset(DAYS), time(22), time(6), "Europe/Berlin")


def is_shown(window: Window, now: datetime) -> bool:
    """By the clocks alone, without a thought of their changes: right wherever they don't change that day or the next."""
    local = now.astimezone(ZoneInfo(window.zone))
    today, before = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    at = local.time().replace(fold=0)
    if window.ends > window.begins:
        return today in window.days and window.begins <= at < window.ends
    return (today in window.days and at >= window.begins) or (before in window.days and at < window.ends)


def is_plain(window: Window, now: datetime) -> bool:
    """No change of clocks within two days."""
    zone = ZoneInfo(window.zone)
    return len({(now + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in range(-48, 49, 6)}) == 1


@given(WINDOWS, MOMENTS)
@example(NIGHT, datetime(2026, 1, 1, 4, 59, tzinfo=UTC))
@example(NIGHT, datetime(2026, 1, 1, 5, tzinfo=UTC))
def test_where_clocks_do_not_change_a_window_is_open_when_they_say_so(window: Window, now: datetime) -> None:
    if is_plain(window, now):
        assert window.is_open(now) is is_shown(window, now)


@given(WINDOWS, MOMENTS | st.sampled_from([BERLIN_SPRING, BERLIN_AUTUMN]))
def test_nothing_changes_before_the_next_change_and_something_does_at_it(window: Window, now: datetime) -> None:
    change = window.next_change(now)
    is_open = window.is_open(now)
    if change is None:
        assert all(window.is_open(now + timedelta(hours=hours)) is is_open for hours in range(8 * 24))
        return
    assert now < change <= now + timedelta(days=9)
    assert window.is_open(change) is not is_open
    assert window.is_open(change - timedelta(microseconds=1)) is is_open
    span = change - now
    assert all(window.is_open(now + span * part / 50) is is_open for part in range(50))


@given(st.sampled_from(ZONES), TIMES, TIMES, st.integers(2020, 2035), st.integers(1, 365))
def test_a_day_of_windows_opens_once_and_closes_once_whatever_its_clocks_do(
    zone: str, begins: time, ends: time, year: int, day: int
) -> None:
    now = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day)
    window = Window(frozenset([DAYS[now.astimezone(ZoneInfo(zone)).weekday()]]), begins, ends, zone)
    opens = 0
    at: datetime | None = now - timedelta(days=3)
    was = window.is_open(now - timedelta(days=3))
    while at is not None and at < now + timedelta(days=3):
        at = window.next_change(at)
        if at is not None and at < now + timedelta(days=3):
            assert window.is_open(at) is not was
            was = not was
            opens += was
    assert opens == 1 or window.is_open(now - timedelta(days=3))


def test_a_night_over_the_change_of_clocks_is_an_hour_shorter_in_spring_and_longer_in_autumn() -> None:
    for evening, hours in (
        (datetime(2026, 3, 28, 20, tzinfo=UTC), 7),
        (datetime(2026, 10, 24, 19, tzinfo=UTC), 9),
        (datetime(2026, 6, 1, 19, tzinfo=UTC), 8),
    ):
        begins = NIGHT.next_change(evening)
        assert begins is not None
        ends = NIGHT.next_change(begins)
        assert ends is not None
        assert ends - begins == timedelta(hours=hours)


def test_a_time_that_clocks_skip_comes_later_and_one_that_they_show_twice_holds_through_both() -> None:
    window = Window(frozenset(["Sun"]), time(2, 10), time(2, 50), "Europe/Berlin")
    spring = window.next_change(BERLIN_SPRING)
    assert spring == datetime(2026, 3, 29, 1, 10, tzinfo=UTC)
    assert window.next_change(spring) == datetime(2026, 3, 29, 1, 50, tzinfo=UTC)
    autumn = window.next_change(BERLIN_AUTUMN)
    assert autumn == datetime(2026, 10, 25, 0, 10, tzinfo=UTC)
    assert window.next_change(autumn) == datetime(2026, 10, 25, 1, 50, tzinfo=UTC)


def test_from_midnight_to_midnight_is_a_day_and_every_day_always() -> None:
    day = Window(frozenset(["Sun"]), time(0), time(0), "Europe/Berlin")
    assert day.next_change(datetime(2026, 3, 28, tzinfo=UTC)) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert day.next_change(datetime(2026, 3, 28, 23, tzinfo=UTC)) == datetime(2026, 3, 29, 22, tzinfo=UTC)
    always = Window(frozenset(DAYS), time(0), time(0), "Europe/Berlin")
    assert always.next_change(datetime(2026, 3, 28, tzinfo=UTC)) is None


def test_a_zone_that_nobody_knows_is_never_open() -> None:
    for zone in ("Europe/Berln", "", "Europe", "../../etc/passwd", "/etc/localtime"):
        window = Window(frozenset(DAYS), time(0), time(0), zone)
        assert not window.is_known
        assert not window.is_open(BERLIN_SPRING)
        assert window.next_change(BERLIN_SPRING) is None
