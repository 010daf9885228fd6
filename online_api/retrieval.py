"""The two ways features are asked for over HTTP: ours, and Feast's."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from feature_repo.events import EARLIEST_EVENT, LATEST_EVENT, MAX_ID_CHARS, rfc3339, to_us
from online_api.catalogue import ENTITIES, Plan, plan_of
from online_api.connection import AsyncRedis
from online_api.errors import ApiError
from online_api.features import Entity, Resolved, ViewRow, entities_of, resolve
from online_api.settings import Settings
from online_api.wire import (
    FeastAnswer,
    FeastColumn,
    FeastMetadata,
    FeastRequest,
    FeatureColumn,
    FeaturesAnswer,
    FeaturesRequest,
)

# Feast answers this instant where it has none; its clients parse whatever is there.
NO_TIME = "1970-01-01T00:00:00Z"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class FeatureService:
    def __init__(self, redis: AsyncRedis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    async def features(self, request: FeaturesRequest, now: int) -> FeaturesAnswer:
        plan = plan_of(request.feature_service, request.features)
        entities = checked_entities(plan, request.entities)
        resolved = await self._resolve(plan, entities, instant(request.as_of), now)
        results = [FeatureColumn(*column) for column in columns(plan, resolved, None)]
        return FeaturesAnswer(
            features=[column.reference for column in plan.columns],
            results=results,
            as_of=rfc3339(resolved.as_of),
            as_of_exact=[row.exact for row in resolved.rows],
        )

    async def feast(self, request: FeastRequest, now: int) -> FeastAnswer:
        """Entity columns come first, as they were given, then the features in the order asked for."""
        plan = plan_of(request.feature_service, request.features)
        given = {
            name: [None if v is None else str(v) for v in values] for name, values in request.entities.items()
        }
        resolved = await self._resolve(plan, checked_entities(plan, given), None, now)
        names = list(given)
        results = [
            FeastColumn(values, ["PRESENT"] * len(values), [NO_TIME] * len(values))
            for values in given.values()
        ]
        for column, found in zip(plan.columns, columns(plan, resolved, NO_TIME), strict=True):
            view, _, feature = column.reference.partition(":")
            names.append(f"{view}__{feature}" if request.full_feature_names else feature)
            results.append(FeastColumn(*found))
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"{twice[0]} would be there twice: set full_feature_names, and ask for each once"
            raise ApiError(422, "name_collision", message, "features")
        return FeastAnswer(FeastMetadata(names), results)

    async def _resolve(self, plan: Plan, entities: list[Entity], as_of: int | None, now: int) -> Resolved:
        return await self._redis.do(resolve(plan, entities, as_of, now, self._settings))


def instant(as_of: datetime | None) -> int | None:
    if as_of is None:
        return None
    time = to_us(as_of)
    if not EARLIEST_EVENT <= time < LATEST_EVENT:
        message = "as_of is not from 2000 to 2199: check its unit"
        raise ApiError(422, "out_of_range", message, "as_of")
    return time


def columns(plan: Plan, resolved: Resolved, no_time: str | None) -> list[tuple[list, list, list[str | None]]]:
    """Values, statuses and event times, a list each, by column of the plan."""
    names = [view.name for view in plan.views]
    by_view = {name: [row.views[name] for row in resolved.rows] for name in names}
    stamps = {name: _stamps(rows, no_time) for name, rows in by_view.items()}
    return [
        (
            [row.values[column.position] for row in by_view[column.view.name]],
            [row.statuses[column.position] for row in by_view[column.view.name]],
            stamps[column.view.name],
        )
        for column in plan.columns
    ]


def _stamps(rows: list[ViewRow], no_time: str | None) -> list[str | None]:
    times = {row.event_timestamp for row in rows}
    text = {time: no_time if time is None else rfc3339(time) for time in times}
    return [text[row.event_timestamp] for row in rows]


def checked_entities(plan: Plan, given: Mapping[str, Sequence[str | None]]) -> list[Entity]:
    """Raises ApiError for a column that is missing, unknown, of another length, or with a bad value."""
    needed = [name for name in plan.entities if name != "session_id"]
    for name in needed:
        if name not in given:
            message = f"entities.{name} is missing: these features need {', '.join(needed)}"
            raise ApiError(422, "missing_entity", message, f"entities.{name}")
    lengths = {name: len(values) for name, values in given.items()}
    if len(set(lengths.values())) > 1:
        message = f"the columns of entities are of different lengths: {lengths}"
        raise ApiError(422, "invalid", message, "entities")
    for name, values in given.items():
        if name not in ENTITIES:
            message = f"no entity {name!r}; there are {', '.join(ENTITIES)}"
            raise ApiError(422, "unknown_entity", message, f"entities.{name}")
        for value in values:
            _check_value(name, value)
    return entities_of(given)


def _check_value(name: str, value: str | None) -> None:
    if value is None:
        if name == "session_id":
            return
        problem = "null"
    elif not value:
        problem = "empty"
    elif name != "query" and len(value) > MAX_ID_CHARS:
        problem = f"longer than {MAX_ID_CHARS} characters"
    elif name != "query" and _CONTROL.search(value):
        problem = "a text with control characters"
    else:
        return
    message = f"entities.{name} has a value that is {problem}"
    raise ApiError(422, "invalid", message, f"entities.{name}")
