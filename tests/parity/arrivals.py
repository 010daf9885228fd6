"""Generated arrivals at the API, and a shop that posts them, lands them and asks what was counted."""

from collections.abc import Iterator
from datetime import datetime
from itertools import product
from typing import NamedTuple

from hypothesis import strategies as st

from feature_repo.aggregates import Activity
from feature_repo.behavior import HOPS_S, ITEM, USER, USER_CATEGORY
from feature_repo.events import EVENT_TYPES, LedgerEvent, rfc3339, to_us
from online_api.epochs import BlockingLedger
from tests.online_api.client import Client
from tests.online_api.events import DAY, HOUR, MINUTE, NOW, SECOND
from tests.oracle import brute_force
from tests.parity.test_redis_counters import windowed

# The last second before a leap second, which RFC 3339 would write 23:59:60 and no clock here knows.
LEAP = to_us(datetime.fromisoformat("2016-12-31T23:59:59+00:00"))
MIDNIGHT = NOW // DAY * DAY
USERS, ITEMS, CATEGORIES = ("u1", "顾客"), ("lamp", "灯:1"), ("shoes|x", "鞋")


class Sent(NamedTuple):
    """An event as a client whose clock is `skew` microseconds fast sends it; `edge`, a hop in seconds and a
    microsecond more or less, moves its time onto the hop's edge."""

    id: int
    user: str
    kind: str
    skew: int
    edge: tuple[int, int] | None
    item: str | None
    category: str | None
    price: int | None
    quantity: int
    consent: str

    def body(self, prefix: str, now: int) -> dict:
        at = now + self.skew
        if self.edge:
            hop, off = self.edge[0] * SECOND, self.edge[1]
            at = at // hop * hop + off
        optional = {
            "item_id": self.item and prefix + self.item,
            "category": self.category,
            "price": self.price,
        }
        return {
            "event_id": f"e{self.id}",
            "user_id": prefix + self.user,
            "event_type": self.kind,
            "event_time": rfc3339(at),
            "quantity": self.quantity,
            "consent": self.consent,
            **{name: value for name, value in optional.items() if value is not None},
        }


SENT = st.builds(
    Sent,
    st.integers(0, 25),  # so few that many repeat
    st.sampled_from(USERS),
    st.sampled_from(EVENT_TYPES),
    st.sampled_from((0, 0, 0, 1, -1, 2 * MINUTE, HOUR, -SECOND, -HOUR, -26 * HOUR, -6 * DAY)),
    st.none() | st.tuples(st.sampled_from(HOPS_S), st.sampled_from((-1, 0, 1))),
    st.none() | st.sampled_from(ITEMS),
    st.none() | st.sampled_from(CATEGORIES),
    st.none() | st.sampled_from((0, 999, 10**10)),
    st.sampled_from((1, 3, 10_000)),
    st.sampled_from(("personalize", "personalize", "aggregate")),
)
STREAM = st.tuples(
    st.sampled_from((NOW, MIDNIGHT - SECOND, LEAP)),
    st.lists(
        st.tuples(
            st.sampled_from((0, 1, SECOND, 9 * MINUTE, HOUR, 25 * HOUR)),
            st.lists(SENT, min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from((0, 1, SECOND, 10 * MINUTE, DAY - 1, 7 * DAY, 30 * DAY, 31 * DAY)),
)


class Case(NamedTuple):
    """An entity at an instant, with what was counted by hand."""

    activity: Activity
    entity: tuple[str, ...]
    as_of: int
    expected: dict


class Shop:
    """The API and its ledger; remembers every event that landed, and what was asked."""

    def __init__(self, client: Client, ledger: BlockingLedger) -> None:
        self.client, self.ledger = client, ledger
        self.landed, self.streams = 0, 0
        self.events: list[LedgerEvent] = []
        self.cases: list[Case] = []

    def prefix(self) -> str:
        """Makes a stream's shoppers and items its own."""
        self.streams += 1
        return f"{self.streams}."

    def follow(self, stream) -> None:
        """Post what STREAM drew, land it, and ask of every entity at the instant it names."""
        start, batches, later = stream
        prefix, self.client.now = self.prefix(), start
        for pause, batch in batches:
            self.client.now += pause
            self.client.post_events(*(sent.body(prefix, self.client.now) for sent in batch))
        events = self.land()
        newest = max((e.event_time for e in events), default=start)
        self.ask(events, prefix, max(newest, self.client.now) + later)

    def land(self) -> list[LedgerEvent]:
        closed = self.ledger.close_epoch()
        shards = range(self.ledger.settings.shards)
        chunks = (c for s in shards for c in self.ledger.entries(s, self.landed, closed))
        new = [entry.event for chunk in chunks for entry in chunk]
        self.landed = closed
        self.events += new
        return new

    def ask(self, events: list[LedgerEvent], prefix: str, as_of: int) -> None:
        for activity, entity in entities(prefix):
            expected = brute_force.window_values(events, activity, entity, as_of)
            assert windowed(self.client, activity, entity, as_of) == expected, (activity.name, entity)
            self.cases.append(Case(activity, entity, as_of, expected))


def entities(prefix: str) -> Iterator[tuple[Activity, tuple[str, ...]]]:
    users, items = ([prefix + name for name in names] for names in (USERS, ITEMS))
    yield from ((USER, (user,)) for user in users)
    yield from ((ITEM, (item,)) for item in items)
    yield from ((USER_CATEGORY, entity) for entity in product(users, CATEGORIES))
