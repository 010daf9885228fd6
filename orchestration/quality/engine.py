"""How Great Expectations asks Spark: each suite in one query, planned for a table of its size."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import great_expectations as gx
from great_expectations.data_context import EphemeralDataContext
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.datasource.fluent import SparkDatasource
from great_expectations.execution_engine import SparkDFExecutionEngine
from great_expectations.expectations.registry import get_metric_provider
from great_expectations.validator.metric_configuration import MetricConfiguration
from pyspark.sql import DataFrame

IN_MEMORY = DataContextConfig(
    store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
    progress_bars=ProgressBarsConfig(globally=False),
    analytics_enabled=False,
)

SMALL = 4 << 20  # bytes of a table


class OneQueryEngine(SparkDFExecutionEngine):
    """Puts all aggregates of a suite into one query.

    A suite's metrics are resolved in waves, as their dependencies allow, and Great Expectations itself
    runs a query for the aggregates of each wave. Here they wait until nothing else can be resolved.
    """

    def resolve_metrics(
        self,
        metrics_to_resolve: Iterable[MetricConfiguration],
        metrics: dict | None = None,
        runtime_configuration: dict | None = None,
    ) -> dict:
        ready = list(metrics_to_resolve)
        others = [m for m in ready if not self._is_aggregate(m)]
        return super().resolve_metrics(others or ready, metrics, runtime_configuration)

    def _is_aggregate(self, metric: MetricConfiguration) -> bool:
        _, compute = get_metric_provider(metric.metric_name, self)
        return compute is None


class OneQuerySparkDatasource(SparkDatasource):
    execution_engine_override = OneQueryEngine

    type: Literal["one_query_spark"] = "one_query_spark"


@cache
def context_and_source() -> tuple[EphemeralDataContext, OneQuerySparkDatasource]:
    """Of this process. Nothing is stored: both live in memory."""
    context = gx.get_context(mode="ephemeral", project_config=IN_MEMORY)
    # persist=True, the default, would cache the whole table in the executors and never let it go.
    return context, context.data_sources.add_one_query_spark("spark", persist=False)


@contextmanager
def planned(table: DataFrame) -> Iterator[DataFrame]:
    """`table` for queries that read it once and end in one row. Planning such a query anew at each shuffle
    costs more than it saves; for a small table so do compiling it and sharing it out.
    """
    spark = table.sparkSession
    settings = {
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.shuffle.partitions": str(spark.sparkContext.defaultParallelism),
    }
    small = _bytes(table) < SMALL
    if small:
        settings |= {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    before = {name: spark.conf.get(name) for name in settings}
    try:
        for name, value in settings.items():
            spark.conf.set(name, value)
        yield table.coalesce(1) if small else table
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def _bytes(table: DataFrame) -> int:
    return table._jdf.queryExecution().optimizedPlan().stats().sizeInBytes()
