from hypothesis import given
from hypothesis import strategies as st

from feature_repo.aggregates import ADDED, Activity, Aggregate
from feature_repo.behavior import WINDOWS
from feature_repo.events import EVENT_TYPES, LedgerEvent
from feature_repo.tiles import Tile, Tiling, window_values
from feature_repo.windows import DAY_US, US, tile_start
from tests.feature_repo.moments import times, unhurried
from tests.online_api.events import stamped
from tests.oracle import brute_force
from tests.parity.activities import BY_USER

happenings = st.lists(
    st.builds(
        lambda time, **fields: stamped("e", event_time=time, **fields),
        times,
        event_type=st.sampled_from(EVENT_TYPES),
        price=st.one_of(st.none(), st.integers(0, 10**10)),
        quantity=st.integers(1, 10_000),
        brand=st.sampled_from((None, "a", "牌", "")),
        scenario=st.sampled_from((None, "search", "service")),
    ),
    max_size=25,
)


def tiles(events: list[LedgerEvent]) -> list[Tile]:
    tiling = Tiling(BY_USER, WINDOWS)
    return [tile for event in events for tile in tiling.tiles(event)]


def from_tiles(events: list[LedgerEvent], as_of: int) -> list:
    return window_values(tiles(events), as_of, WINDOWS, BY_USER.aggregates)


def from_events(events: list[LedgerEvent], as_of: int) -> list:
    return list(brute_force.window_values(events, BY_USER, "u1", as_of).values())


@unhurried
@given(happenings, times, st.integers(0, 60 * DAY_US))
def test_windows_of_tiles_are_windows_of_events(events, newest: int, later_us: int) -> None:
    """At the newest event and as windows slide past it."""
    known = [e for e in events if e.event_time <= newest]
    for as_of in (newest, newest + later_us):
        assert from_tiles(known, as_of) == from_events(known, as_of)


@unhurried
@given(happenings, times)
def test_before_the_newest_event_a_window_is_exact_to_one_hop(events, as_of: int) -> None:
    """A tile that `as_of` falls into is counted whole: with the events still to come in it."""
    got, place = from_tiles(events, as_of), 0
    for aggregate in BY_USER.aggregates:
        for window in aggregate.windows_of(WINDOWS):
            hop_end = tile_start(as_of, window.hop_s) + window.hop_s * US
            moved = [e for e in events if window.tail(as_of) <= e.event_time < hop_end]
            concerned = [e for e in moved if brute_force.passes(e, aggregate)]
            assert got[place] == brute_force.answer(aggregate, concerned)
            place += 1


@unhurried
@given(happenings, times, st.data())
def test_tiles_merge_in_any_order_and_however_often_where_they_do_not_add_up(
    events, as_of: int, data: st.DataObject
) -> None:
    singles = tiles(events)
    again = [t for t in singles if BY_USER.aggregates[t.aggregate].op not in ADDED]
    shuffled = data.draw(st.permutations([*singles, *again]))
    answer = window_values(shuffled, as_of, WINDOWS, BY_USER.aggregates)
    assert answer == window_values(singles, as_of, WINDOWS, BY_USER.aggregates)


def test_an_event_adds_a_tile_per_hop_to_each_aggregate_it_concerns() -> None:
    spent = Aggregate("spent", "sum", ("purchase",), "amount", windows=("10m", "24h"))
    newest = Aggregate("newest", "last", ("view", "purchase"), "price", windows=("7d",))
    tiling = Tiling(Activity("a", ("user_id",), (spent, newest), "shopper"), WINDOWS)
    at = 65 * US
    assert tiling.tiles(stamped("e", "purchase", at, price=250, quantity=2)) == [
        Tile(60, 60 * US, 0, 500),
        Tile(900, 0, 0, 500),
        Tile(86_400, 0, 1, (at, 250)),
    ]
    assert tiling.tiles(stamped("e", "view", at, price=0)) == [Tile(86_400, 0, 1, (at, 0))]
    assert tiling.tiles(stamped("e", "view", at)) == []
    assert tiling.tiles(stamped("e", "search", at, price=9)) == []
