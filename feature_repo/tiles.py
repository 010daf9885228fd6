"""Tiles: partial aggregates of one entity over one hop, which windows are merged from in any order."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from feature_repo.aggregates import ADDED, Activity, Aggregate, Partial, Value
from feature_repo.events import LedgerEvent
from feature_repo.windows import US, Window, hops_of, tile_start


class Tile(NamedTuple):
    """`value` of the aggregate at position `aggregate`, from `start` for one hop."""

    hop_s: int
    start: int
    aggregate: int
    value: Partial


class Tiling:
    """Cuts events into the tiles of one activity."""

    def __init__(self, activity: Activity, windows: tuple[Window, ...]) -> None:
        self._hops = [hops_of(a.windows_of(windows)) for a in activity.aggregates]
        self._aggregates = activity.aggregates
        self._slot_us = min(hops_of(windows)) * US
        self._places_in_slot = lru_cache(maxsize=65_536)(self._places_in_slot)

    def tiles(self, event: LedgerEvent) -> list[Tile]:
        """What the event adds; an aggregate that it does not concern has no tile."""
        slot = event.event_time // self._slot_us
        return [
            Tile(hop_s, start, position, partial)
            for aggregate, position, places in self._places_in_slot(event.event_type, slot)
            if (partial := aggregate.partial(event)) is not None
            for hop_s, start in places
        ]

    def _places_in_slot(self, event_type: str, slot: int) -> tuple:
        """Hops are whole numbers of the shortest, so within one of it an event's tiles are the same."""
        time = slot * self._slot_us
        return tuple(
            (aggregate, position, tuple((hop_s, tile_start(time, hop_s)) for hop_s in self._hops[position]))
            for position, aggregate in enumerate(self._aggregates)
            if event_type in aggregate.event_types
        )


def window_values(
    tiles: Iterable[Tile],
    as_of: int,
    windows: tuple[Window, ...],
    aggregates: tuple[Aggregate, ...],
) -> list[Value]:
    """Merge tiles into the values at `as_of` of each aggregate over each of its windows, aggregate by
    aggregate.

    Exact when no event is later than `as_of`; otherwise exact to one hop of each window, since a tile
    that `as_of` falls into is counted whole.
    """
    columns, size = [], 0
    for aggregate in aggregates:
        spans = [(i, w.hop_s, w.tail(as_of)) for i, w in enumerate(aggregate.windows_of(windows), size)]
        columns.append((aggregate.op in ADDED, spans))
        size += len(spans)
    values: list[Value] = [0] * size
    parts: dict[int, list] = {}
    for hop_s, start, aggregate, value in tiles:
        if start > as_of:
            continue
        added, spans = columns[aggregate]
        for column, window_hop_s, tail in spans:
            if hop_s == window_hop_s and start >= tail:
                if added:
                    values[column] += value
                else:
                    parts.setdefault(column, []).append(value)
    for aggregate, (added, spans) in zip(aggregates, columns, strict=True):
        if not added:
            for column, _, _ in spans:
                values[column] = aggregate.value_of(parts.get(column, ()))
    return values
