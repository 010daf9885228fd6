"""Feast as the jobs use it: opening the store, apply, materialization, historical retrieval.

Feast works in the Spark session that is active; callers build it (`spark_jobs.session`) beforehand.
What Feast prints goes to standard error. `python -m orchestration.feature_store ARGUMENT...` is the
`feast` command on the store that the settings name.
"""

import contextlib
import fcntl
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import pandas as pd
import redis
import yaml
from feast import FeatureStore, RepoConfig
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from redis.backoff import NoBackoff
from redis.retry import Retry

from feature_repo.behavior import EMBEDDING_DIM, FEATURES, SERVICE, Feature
from feature_repo.definitions.objects import feast_objects
from feature_repo.definitions.schemas import ensure_tables
from feature_repo.definitions.tables import TIMESTAMP, VIEW_BY_NAME
from feature_repo.events import EARLIEST_EVENT, from_us
from online_api.redis_server import ensure_redis
from online_api.settings import Settings
from spark_jobs.lake import Lake
from spark_jobs.session import build_session, prepare_environment, read_conf

REPO = Path(__file__).resolve().parents[1] / "feature_repo"
SQLITE = "sqlite:///"
REGISTRY = "registry.db"


class Connected(NamedTuple):
    store: FeatureStore
    spark: SparkSession
    lake: Lake


def connect(name: str = "features") -> Connected:
    """The installation that the `INTENT_` settings name: for notebooks and other teams' jobs, which
    get its feature store, its lake and a Spark session (`name`, the process's one) to work in.
    """
    settings = Settings.from_environment()
    spark = build_session(name, settings.spark_master, settings.state, read_conf(settings.spark_conf))
    redis_url = settings.redis_url or ensure_redis(settings.state)
    store = open_store(redis_url, settings.state, settings.spark_master)
    return Connected(store, spark, Lake(settings.lake))


def store_config(redis_url: str, state_dir: Path, spark_master: str = "local[*]") -> dict:
    """`feature_store.yaml` with these settings in the place of its own."""
    config = yaml.safe_load((REPO / "feature_store.yaml").read_text())
    config["registry"]["path"] = f"{SQLITE}{state_dir.absolute() / REGISTRY}"
    config["online_store"]["connection_string"] = redis_address(redis_url)
    config["offline_store"]["spark_conf"]["spark.master"] = spark_master
    return config


def open_store(redis_url: str, state_dir: Path, spark_master: str = "local[*]") -> FeatureStore:
    """The store with its registry in `state_dir`; `spark_master` counts where no session runs."""
    state_dir.mkdir(parents=True, exist_ok=True)
    config = RepoConfig(**store_config(redis_url, state_dir, spark_master))
    config.repo_path = REPO
    return FeatureStore(config=config)


def redis_address(url: str) -> str:
    """A Redis URL as Feast has it, `host:port,password=...,db=...,ssl=true`, or ValueError.

    Feast splits at commas and reads values as JSON, so texts are written as JSON without commas.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError(
            f"INTENT_REDIS_URL has scheme '{parts.scheme}' and host '{parts.hostname or ''}': "
            "expected redis://[user:password@]host:port/db"
        )
    if ":" in parts.hostname:
        raise ValueError("INTENT_REDIS_URL has an IPv6 address, which Feast does not take: name the host")
    options: dict[str, str | int | bool] = {}
    if parts.username:
        options["username"] = unquote(parts.username)
    if parts.password:
        options["password"] = unquote(parts.password)
    options["db"] = int(parts.path.strip("/") or 0)
    if parts.scheme == "rediss":
        options["ssl"] = True
    options.update(parse_qsl(parts.query))
    written = (f"{k}={json.dumps(v).replace(',', chr(92) + 'u002c')}" for k, v in options.items())
    return ",".join((f"{parts.hostname}:{parts.port or 6379}", *written))


def apply_definitions(store: FeatureStore, lake: Path) -> None:
    """Register the definitions on the tables of `lake`; what they no longer name is removed."""
    ensure_tables(lake)
    wanted = feast_objects(lake)
    names = {(type(o).__name__, o.name) for o in wanted}
    with alone(store), quiet():
        registered = [
            *store.list_feature_services(),
            *store.list_feature_views(),
            *store.list_data_sources(),
            *store.list_entities(),
        ]
        gone = [o for o in registered if (type(o).__name__, o.name) not in names]
        store.apply(wanted, objects_to_delete=gone, partial=False)


def materialize(store: FeatureStore, views: Sequence[str], as_of: int) -> None:
    """Write each entity's newest row at or before `as_of` (microseconds) to Redis, from executors.

    Rows replace what stands in Redis even if that is newer, so `as_of` must not go back. Concurrent
    calls wait for each other. A failure is raised; what it wrote stays, and a repetition mends it.
    """
    end = from_us(as_of)
    with alone(store), quiet():
        require_redis(store)
        for name in views:
            lookback_s = VIEW_BY_NAME[name].lookback_s
            start = from_us(EARLIEST_EVENT)
            if lookback_s is not None:
                start = end - timedelta(seconds=lookback_s)
            store.materialize(start_date=start, end_date=end, feature_views=[name])


def require_redis(store: FeatureStore) -> None:
    """Fails in one line at once, where a Spark job would fail late and in many."""
    address, *options = store.config.online_store.connection_string.split(",")
    host, port = address.split(":")
    given = {name: json.loads(value) for name, value in (o.split("=", 1) for o in options)}
    try:
        with redis.Redis(host=host, port=int(port), retry=Retry(NoBackoff(), 1), **given) as client:
            client.ping()
    except redis.RedisError as error:
        raise ConnectionError(
            f"nothing was materialized, Redis at {address} does not answer ({error}): start it, or "
            "set INTENT_REDIS_URL"
        ) from error


def historical(
    store: FeatureStore,
    entity_df: DataFrame | pd.DataFrame,
    features: str | Sequence[str] = SERVICE,
) -> DataFrame:
    """Features as they were at each row's `event_timestamp`, inclusive, beside the row's columns.

    `features` is a feature service or `view:feature` references. Rows are kept, repeated ones too,
    in no order. A service's features come in its order. Where nothing was known a value is null.
    """
    spark = SparkSession.active()
    if isinstance(entity_df, pd.DataFrame):
        entity_df = entity_df.assign(
            **{TIMESTAMP: pd.to_datetime(entity_df[TIMESTAMP], utc=True).dt.floor("us")}
        )
        entity_df = spark.createDataFrame(entity_df)
    wanted = store.get_feature_service(features) if isinstance(features, str) else list(features)
    with quiet(), utc_process(), restored(spark, "spark.sql.parser.quotedRegexColumnNames"):
        answers = [
            store.get_historical_features(entity_df=part, features=wanted).to_spark_df()
            for part in unambiguous_parts(entity_df)
        ]
    return reduce(DataFrame.unionByName, answers)


def fill_defaults(rows: DataFrame) -> DataFrame:
    """Declared defaults in the place of nulls, in every column named like a declared feature."""
    defaults = {feature.name: feature for feature in FEATURES}
    return rows.select(
        *(
            F.coalesce(F.col(name), default_of(defaults[name])).alias(name)
            if name in defaults
            else F.col(name)
            for name in rows.columns
        )
    )


def default_of(feature: Feature) -> Column:
    if feature.dtype == "vector":
        return F.array_repeat(F.lit(0.0).cast("float"), EMBEDDING_DIM)
    return F.lit(feature.default)


def unambiguous_parts(entity_df: DataFrame) -> list[DataFrame]:
    """The rows, split so that no two entities of a part look alike to Feast.

    Feast's query joins on the keys and the time run together as one text, where shopper `a` in
    session `bc` equals shopper `ab` in session `c`. As a rule nothing does, and there is one part.
    """
    keys = [k for k in VIEW_BY_NAME["session_activity"].keys if k in entity_df.columns]
    if len(keys) < 2:
        return [entity_df]
    alike = [F.concat(*keys).alias("_alike"), F.col(TIMESTAMP)]
    collision = (
        entity_df.groupBy(*alike)
        .agg(F.min(F.struct(*keys)).alias("first"), F.max(F.struct(*keys)).alias("last"))
        .where(F.col("first") != F.col("last"))
    )
    if collision.isEmpty():
        return [entity_df]
    ranked = entity_df.withColumn(
        "_part", F.dense_rank().over(Window.partitionBy(*alike).orderBy(*keys))
    ).cache()
    parts = ranked.agg(F.max("_part")).first()[0]
    return [ranked.where(F.col("_part") == n).drop("_part") for n in range(1, parts + 1)]


@contextlib.contextmanager
def alone(store: FeatureStore) -> Iterator[None]:
    """One writer of registry and Redis at a time."""
    path = Path(store.config.registry.path.removeprefix(SQLITE)).with_suffix(".lock")
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        store.refresh_registry()
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The spark ", category=RuntimeWarning)
        yield


@contextlib.contextmanager
def utc_process() -> Iterator[None]:
    """Makes Python's local time UTC: Feast reads the time range of Spark rows in local time."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@contextlib.contextmanager
def restored(spark: SparkSession, name: str) -> Iterator[None]:
    """Feast leaves this setting changed, and with it what a quoted name means in all SQL."""
    before = spark.conf.get(name)
    try:
        yield
    finally:
        spark.conf.set(name, before)


def main() -> None:
    from orchestration.environment import confine

    confine()
    from feast.cli.cli import cli

    settings = Settings.from_environment()
    os.environ.update(settings.environment())
    settings.state.mkdir(parents=True, exist_ok=True)
    prepare_environment(settings.state / "spark")
    redis_url = settings.redis_url or ensure_redis(settings.state)
    config = store_config(redis_url, settings.state, settings.spark_master)
    written = settings.state / "feature_store.yaml"
    written.touch(mode=0o600)  # it may hold the password of Redis
    written.write_text(yaml.safe_dump(config))
    sys.argv = ["feast", "-c", str(REPO), "-f", str(written), *sys.argv[1:]]
    cli()


if __name__ == "__main__":
    main()
