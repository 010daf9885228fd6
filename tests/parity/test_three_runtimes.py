"""Generated streams through the API into Redis, through the lake's events into Spark, and by counting."""

# ruff: noqa: F811  (imported fixtures are asked for by name)

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from feature_repo.behavior import ACTIVITIES
from feature_repo.events import EVENT_TYPES, MAX_BATCH_EVENTS
from online_api.epochs import BlockingLedger
from spark_jobs.transforms.contributions import event_contributions
from spark_jobs.transforms.point_in_time import feature_names, window_values_at
from tests.online_api.client import running
from tests.online_api.events import DAY, MINUTE
from tests.online_api.fixtures import blocking, redis_url, server, settings  # noqa: F401
from tests.parity.arrivals import CATEGORIES, ITEMS, MIDNIGHT, STREAM, USERS, Sent, Shop
from tests.parity.frames import event_frame, instants, values_by_instant


@pytest.fixture
def shop(settings, blocking) -> Iterator[Shop]:
    with running(settings) as client:
        yield Shop(client, BlockingLedger(blocking, settings))


def test_redis_spark_and_the_oracle_agree_on_any_stream(shop, spark):
    """Repeats, disorder, clocks that are fast or slow, edges of hops and days, a leap second's neighbours."""

    @hypothesis_settings(
        max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(STREAM)
    def agree(stream) -> None:
        shop.follow(stream)

    agree()
    assert len(shop.events) > 200 and sum(any(case.expected.values()) for case in shop.cases) > 100
    assert_spark_agrees(spark, shop)


def test_ten_thousand_events_at_one_instant_all_count(shop, spark):
    prefix, shop.client.now = shop.prefix(), MIDNIGHT
    for first in range(0, 10_000, MAX_BATCH_EVENTS):
        shop.client.post_events(
            *(
                Sent(
                    n, USERS[n % 7 == 0], EVENT_TYPES[n % len(EVENT_TYPES)], 0, None,
                    ITEMS[n % 2], CATEGORIES[n % 3 == 0], n, 1 + n % 3, "personalize",
                ).body(prefix, MIDNIGHT)
                for n in range(first, first + MAX_BATCH_EVENTS)
            )
        )  # fmt: skip
    events = shop.land()
    assert len(events) == 10_000
    for as_of in (MIDNIGHT, MIDNIGHT + 10 * MINUTE, MIDNIGHT + 31 * DAY - 1):
        shop.ask(events, prefix, as_of)
    assert_spark_agrees(spark, shop)


def assert_spark_agrees(spark, shop: Shop) -> None:
    frame = event_frame(spark, shop.events).cache()
    for activity in ACTIVITIES:
        expected = {(*c.entity, c.as_of): c.expected for c in shop.cases if c.activity == activity}
        rows = instants(spark, list(expected), activity)
        answers = window_values_at(rows, event_contributions(frame, activity), activity)
        assert values_by_instant(answers, list(activity.keys), feature_names(activity)) == expected
    frame.unpersist()
