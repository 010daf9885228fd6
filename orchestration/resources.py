"""What the assets work with, built once from the settings and opened when first used."""

import os
import time
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from online_api.connection import BlockingRedis
from online_api.epochs import BlockingLedger
from online_api.redis_server import RedisUnavailable, ensure_redis
from online_api.settings import Settings, SettingsError
from spark_jobs.lake import Lake

if TYPE_CHECKING:
    from feast import FeatureStore
    from pyspark.sql import SparkSession

    from models.encoder import Encoder


class Platform:
    """The lake, the ledger, Spark, Feast and the encoder of one installation."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lake = Lake(settings.lake)

    @classmethod
    def from_environment(cls) -> "Platform":
        return cls(Settings.from_environment(os.environ))

    @property
    def releases(self) -> Path:
        return self.settings.state / "releases"

    @property
    def encoders(self) -> Path:
        return self.settings.state / "encoders"

    @property
    def tracking(self) -> Path:
        return self.settings.state / "mlflow"

    @cached_property
    def redis_url(self) -> str:
        """The server of the settings, or the project's own, started if it does not run."""
        url = self.settings.redis_url or ensure_redis(self.settings.state)
        if not url.startswith(("redis://", "rediss://")):
            raise SettingsError(
                f"INTENT_REDIS_URL={url}: Feast materializes to a single server here, redis:// or rediss://"
            )
        return url

    @cached_property
    def ledger(self) -> BlockingLedger:
        """Raises RedisUnavailable with one clear line when the server of the settings does not answer."""
        try:
            return BlockingLedger(BlockingRedis(self.redis_url), self.settings)
        except (RedisError, OSError) as error:
            raise RedisUnavailable(
                f"Redis at {self.redis_url} does not answer ({error}): start it, or set INTENT_REDIS_URL"
            ) from error

    def spark(self) -> "SparkSession":
        """The session of this process; a run's steps share it."""
        from pyspark.sql import SparkSession

        from spark_jobs.session import build_session, read_conf

        if active := SparkSession.getActiveSession():
            return active
        conf = read_conf(self.settings.spark_conf)
        return build_session("intent", self.settings.spark_master, self.settings.state, conf)

    def feature_store(self) -> "FeatureStore":
        from orchestration.feature_store import open_store

        self.spark()
        return open_store(self.redis_url, self.settings.state, self.settings.spark_master)

    @cached_property
    def encoder(self) -> "Encoder":
        from models.encoder import load_encoder

        return load_encoder(self.settings.encoder)

    def encoder_factory(self):
        """What a Spark worker calls to get the same encoder."""
        from models.encoder import load_encoder

        return partial(load_encoder, self.settings.encoder)

    def clock(self) -> int:
        """Now: the wall's, or under INTENT_CLOCK=event the newest event time accepted."""
        if self.settings.clock == "event":
            newest = self.ledger.clock()
            if newest is None:
                raise ValueError("the event clock stands nowhere yet: import a log or post an event")
            return newest
        return time.time_ns() // 1_000

    def publication_instant(self) -> int:
        """An instant after every score served so far, from which on newly stored rows hold.

        On the event clock, which stands still between events, publishing moves time by a microsecond,
        once there is a release to score with.
        """
        now = self.clock()
        if self.settings.clock == "event" and self.ledger.has_release():
            now += 1
            self.ledger.advance_clock(now)
        return now
