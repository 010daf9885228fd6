"""The feature tables' Parquet schemas, and the file that makes a table without rows readable."""

import os
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.definitions.tables import CREATED, TIMESTAMP, VIEWS, View

ARROW_TYPES = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "vector": pa.list_(pa.float32()),
    "string": pa.string(),
    "strings": pa.list_(pa.string()),
}
INSTANT = pa.timestamp("us", "UTC")

# Spark takes a table's schema from this file, whatever its parts say, and never reads rows from it.
SCHEMA_FILE = "_common_metadata"


def schema_of(view: View) -> pa.Schema:
    return pa.schema(
        [
            *(pa.field(key, pa.string(), nullable=False) for key in view.keys),
            pa.field(TIMESTAMP, INSTANT, nullable=False),
            pa.field(CREATED, INSTANT, nullable=False),
            *(pa.field(c.name, ARROW_TYPES[c.dtype]) for c in view.columns),
        ]
    )


SCHEMAS: dict[str, pa.Schema] = {view.name: schema_of(view) for view in VIEWS}


def ensure_tables(lake: Path) -> None:
    """Give every feature table its schema file, so that one without rows reads as empty.

    A part written before a column was declared reads as null in it.
    """
    for name, schema in SCHEMAS.items():
        path = lake / name / SCHEMA_FILE
        if path.exists() and pq.read_schema(path).equals(schema):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{SCHEMA_FILE}.{uuid.uuid4().hex}")
        pq.write_metadata(schema, partial)
        os.replace(partial, path)
