from datetime import date, timedelta

import pytest

from models.document import markdown
from orchestration.quality.day_report import SHARES, day_section, jumps, percentages, trend_section
from spark_jobs.jobs.quality_days import empty_day

LAST = "2024-03-20"
USUAL = {"events": 1_000, "item_events": 500, "purchases": 40, "bot_events": 20, "brand: unknown": 100}


def days(count: int, **last: float) -> dict:
    """`count` days alike up to LAST, the last one with other numbers."""
    end = date.fromisoformat(LAST)
    known = {(end - timedelta(n)).isoformat(): empty_day() | USUAL for n in range(count)}
    known[LAST] = known[LAST] | last
    return known


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ({}, []),
        ({"bot_events": 39}, []),
        ({"bot_events": 41}, ["bots"]),
        ({"bot_events": 0}, ["bots"]),
        ({"brand: unknown": 190}, []),
        ({"brand: unknown": 210}, ["brand unknown"]),
        ({"late_events": 19}, []),
        ({"late_events": 20}, ["late"]),
        ({"quarantined": 100}, ["quarantined"]),
        ({"purchases": 0}, []),
        ({"events": 3_100, "bot_events": 62}, ["events"]),
        ({"events": 310, "bot_events": 6}, ["events"]),
    ],
)
def test_what_stands_out_from_the_days_before_is_a_jump(numbers, found):
    assert [j.what for j in jumps(days(8, **numbers), LAST, is_over=True)] == found


def test_a_day_under_way_is_not_too_small_and_few_days_have_no_trend():
    assert jumps(days(8, events=10, bot_events=0.2), LAST, is_over=False) == []
    assert jumps(days(5, bot_events=900), LAST, is_over=True) == []
    (jump,) = jumps(days(6, bot_events=900), LAST, is_over=True)
    assert str(jump) == "2024-03-20: bots 90 %, usually 2 %"


def test_a_share_of_nothing_is_unknown_and_of_refusals_counts_them():
    shares = percentages(empty_day() | {"events": 90, "quarantined": 10, "bot_events": 9})
    assert set(shares) == set(SHARES)
    assert (shares["bots"], shares["quarantined"], shares["brand filled"]) == (10, 10, None)


def test_a_day_is_shown_with_what_is_not_known_of_it():
    metrics = empty_day() | USUAL | {"bot_events: events at even intervals": 20, "price: unit_corrected": 2}
    text = markdown(day_section(LAST, metrics, {"bad_time": 3}))
    assert "| bots | 20 | 2.00 % |" in text
    assert "| bot_events: events at even intervals | 20 |" in text
    assert "| price: unit_corrected | 2 |" in text
    assert "readable day, of all imports: 3." in text
    assert "| duplicates | unknown" in text


def test_the_trend_is_two_pictures_of_the_same_bytes():
    text = markdown(trend_section(days(8), LAST))
    assert text.count("data:image/svg+xml;base64,") == 2
    assert text == markdown(trend_section(days(8), LAST))
