"""The Feast objects, built from the declarations: nothing here names a feature."""

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, Project, ValueType
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.types import Array, Float32, Float64, Int64, String

from feature_repo.behavior import DEFINITIONS_HASH, PROJECT, SERVICE, SERVICE_FEATURES
from feature_repo.definitions.tables import CREATED, ENTITIES, OWNER, TIMESTAMP, VIEWS, View

FEAST_TYPES = {
    "int64": Int64,
    "float64": Float64,
    "vector": Array(Float32),
    "string": String,
    "strings": Array(String),
}

FeastObject = Project | Entity | SparkSource | FeatureView | FeatureService


def feast_objects(lake: Path) -> list[FeastObject]:
    """Everything the project registers, with sources in this lake."""
    project = Project(
        name=PROJECT, description="Real-time shopper intent: features in batch and at request time"
    )
    entities = {
        key: Entity(
            name=key,
            join_keys=[key],
            value_type=ValueType.STRING,
            description=description,
            owner=OWNER,
        )
        for key, description in ENTITIES.items()
    }
    sources = {view.name: _source(view, lake) for view in VIEWS}
    views = {view.name: _view(view, entities, sources[view.name]) for view in VIEWS}
    return [
        project,
        *entities.values(),
        *sources.values(),
        *views.values(),
        _service(views),
    ]


def _source(view: View, lake: Path) -> SparkSource:
    return SparkSource(
        name=f"{view.name}_table",
        path=str(lake.absolute() / view.name),
        file_format="parquet",
        timestamp_field=TIMESTAMP,
        created_timestamp_column=CREATED,
        description=f"The lake's table {view.name}, a folder a day",
        owner=OWNER,
    )


def _view(view: View, entities: dict[str, Entity], source: SparkSource) -> FeatureView:
    return FeatureView(
        name=view.name,
        entities=[entities[key] for key in view.keys],
        schema=[
            *(Field(name=key, dtype=String) for key in view.keys),
            *(
                Field(
                    name=column.name,
                    dtype=FEAST_TYPES[column.dtype],
                    description=column.description,
                    tags={"unit": column.unit},
                )
                for column in view.columns
            ),
        ],
        source=source,
        ttl=timedelta(seconds=view.ttl_s or 0),  # Feast reads 0 as no limit
        description=view.description,
        tags={"definitions": DEFINITIONS_HASH},
        owner=OWNER,
    )


def _service(views: dict[str, FeatureView]) -> FeatureService:
    """The served model's input: Feast answers view by view, features in the order named here."""
    by_view: dict[str, list[str]] = {}
    for feature in SERVICE_FEATURES:
        by_view.setdefault(feature.view, []).append(feature.name)
    return FeatureService(
        name=SERVICE,
        features=[views[name][names] for name, names in by_view.items()],
        description="The whole input of the served intent model, in its order",
        tags={"definitions": DEFINITIONS_HASH},
        owner=OWNER,
    )
