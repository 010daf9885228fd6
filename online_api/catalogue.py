"""What can be asked for: views with their join keys, services, and plans made from references."""

import difflib
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from feature_repo.behavior import (
    FEATURES,
    SERVICE,
    SERVICE_FEATURES,
    VIEW_TTL_S,
)
from feature_repo.definitions.tables import VIEW_BY_NAME
from online_api.errors import ApiError
from online_api.feast_rows import feature_field, timestamp_field

Source = Literal["windowed", "session", "batch"]

ENTITIES = ("user_id", "session_id", "item_id", "category", "query")
EMBEDDING, REVISION = "embedding", "encoder_revision"


class View(NamedTuple):
    """A view as the API answers it. `fields`: where Feast's hash has a batch view's values and time."""

    name: str
    source: Source
    join_keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl_s: int | None
    fields: tuple[bytes, ...]


def _view(name: str) -> View:
    table = VIEW_BY_NAME[name]
    source: Source = next((feature.source for feature in FEATURES if feature.view == name), "batch")
    features = tuple(column.name for column in table.columns)
    fields = (*(feature_field(name, feature) for feature in features), timestamp_field(name))
    stored = fields if source == "batch" else ()
    return View(name, source, table.keys, features, VIEW_TTL_S[name], stored)


VIEWS = {name: _view(name) for name in VIEW_TTL_S}
SERVICES = {SERVICE: tuple(feature.reference for feature in SERVICE_FEATURES)}
REFERENCES = tuple(f"{view.name}:{feature}" for view in VIEWS.values() for feature in view.features)


class Column(NamedTuple):
    reference: str
    view: View
    position: int


class Plan(NamedTuple):
    """References resolved: `columns` in the order asked for, the views they need, the entities these need."""

    columns: tuple[Column, ...]
    views: tuple[View, ...]
    entities: tuple[str, ...]

    def has(self, view: str) -> bool:
        return any(v.name == view for v in self.views)


def plan_of(service: str | None, references: Sequence[str] | None) -> Plan:
    """Raises ApiError unless exactly one of the two is given and everything in it exists."""
    if (service is None) == (not references):
        raise ApiError(422, "invalid", "give either feature_service or features", "features")
    if service is None:
        return plan(tuple(references))
    if service not in SERVICES:
        known = ", ".join(SERVICES)
        raise ApiError(404, "unknown_service", f"no service {service}; there is {known}", "feature_service")
    return plan(SERVICES[service])


@lru_cache(maxsize=256)
def plan(references: tuple[str, ...]) -> Plan:
    columns = tuple(_column(reference) for reference in references)
    views = tuple(dict.fromkeys(column.view for column in columns))
    needed = {entity for view in views for entity in view.join_keys}
    return Plan(columns, views, tuple(entity for entity in ENTITIES if entity in needed))


def _column(reference: str) -> Column:
    view_name, _, feature = reference.partition(":")
    view = VIEWS.get(view_name)
    if view is None:
        known = ", ".join(VIEWS)
        message = f"no view of {reference!r}; references are view:feature and the views are {known}"
        raise ApiError(404, "unknown_feature", message, "features")
    if feature not in view.features:
        near = difflib.get_close_matches(feature, view.features, 3, 0.0)
        message = f"{view_name} has no feature {feature!r}; near it are {', '.join(near)}"
        raise ApiError(404, "unknown_feature", message, "features")
    return Column(reference, view, view.features.index(feature))
