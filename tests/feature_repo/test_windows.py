from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.behavior import HOPS_S, WINDOWS
from feature_repo.events import to_us
from feature_repo.windows import US, Window, hops_of, needed_since, tile_start
from tests.feature_repo.moments import times, unhurried

windows = st.one_of(
    st.sampled_from(WINDOWS),
    st.builds(lambda hop, hops: Window("w", hop * hops, hop), st.integers(1, 5_000), st.integers(1, 50)),
)


def covers(window: Window, event_time: int, as_of: int) -> bool:
    """The definition: floor((t - length) / hop) * hop <= event_time <= t, in whole microseconds."""
    length, hop = window.length_s * US, window.hop_s * US
    return ((as_of - length) // hop) * hop <= event_time <= as_of


@unhurried
@given(windows, times)
def test_the_tail_is_the_first_instant_covered(window: Window, as_of: int) -> None:
    tail = window.tail(as_of)
    assert tail % (window.hop_s * US) == 0
    assert covers(window, tail, as_of)
    assert not covers(window, tail - 1, as_of)
    assert window.length_s * US <= as_of - tail < (window.length_s + window.hop_s) * US


@unhurried
@given(windows, times)
def test_expiry_is_the_first_instant_no_longer_covered(window: Window, event_time: int) -> None:
    expiry = window.expiry(event_time)
    assert not covers(window, event_time, event_time - 1)
    assert covers(window, event_time, event_time)
    assert covers(window, event_time, expiry - 1)
    assert not covers(window, event_time, expiry)


@unhurried
@given(windows, times, times)
def test_a_window_covers_an_event_from_its_instant_until_its_expiry(
    window: Window, event_time: int, as_of: int
) -> None:
    inside = event_time <= as_of < window.expiry(event_time)
    assert covers(window, event_time, as_of) == inside


@unhurried
@given(windows, times, times)
def test_an_event_and_the_start_of_its_tile_expire_together(
    window: Window, event_time: int, as_of: int
) -> None:
    start = tile_start(event_time, window.hop_s)
    assert start <= event_time < start + window.hop_s * US
    assert start % (window.hop_s * US) == 0
    assert (start >= window.tail(as_of)) == (event_time >= window.tail(as_of))


@unhurried
@given(times, times, st.sampled_from(HOPS_S))
def test_what_is_older_than_needed_is_never_asked_for_again(as_of: int, event_time: int, hop_s: int) -> None:
    since = needed_since(WINDOWS, hop_s, as_of)
    mine = [window for window in WINDOWS if window.hop_s == hop_s]
    start = tile_start(event_time, hop_s)
    assert (start < since) == all(start < window.tail(as_of) for window in mine)


def test_a_dozen_instants_by_hand() -> None:
    def at(clock: str, day: int = 1) -> int:
        return to_us(datetime.fromisoformat(f"2026-03-{day:02d}T{clock}Z"))

    ten, hour, day, week, month = WINDOWS
    assert ten.tail(at("08:10:00")) == at("08:00:00")
    assert ten.tail(at("08:10:59.999999")) == at("08:00:00")
    assert ten.tail(at("08:11:00")) == at("08:01:00")
    assert ten.expiry(at("08:00:00")) == at("08:11:00")
    assert ten.expiry(at("08:00:59.999999")) == at("08:11:00")
    assert hour.expiry(at("08:01:00")) == at("09:02:00")
    assert day.tail(at("08:14:59", 2)) == at("08:00:00", 1)
    assert day.expiry(at("08:00:00", 1)) == at("08:15:00", 2)
    assert week.tail(at("23:59:59", 9)) == at("00:00:00", 2)
    assert week.expiry(at("00:00:00", 1)) == at("00:00:00", 9)
    assert month.tail(at("00:00:00", 31)) == at("00:00:00", 1)
    assert month.tail(at("23:59:59.999999", 31)) == at("00:00:00", 1)


def test_hops_are_distinct_and_ascending() -> None:
    assert hops_of(WINDOWS) == (60, 900, 86_400)


@pytest.mark.parametrize(("length_s", "hop_s"), [(100, 60), (60, 0), (0, 60), (-60, 60), (60, -60)])
def test_a_window_is_a_whole_number_of_hops(length_s: int, hop_s: int) -> None:
    with pytest.raises(ValueError, match="window odd: length"):
        Window("odd", length_s, hop_s)
