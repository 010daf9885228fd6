"""Every setting of the platform, read once from the environment and passed down."""

import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec

from feature_repo.events import DoorPolicy
from feature_repo.windows import DAY_S

PREFIX = "INTENT_"
MAX_SHARDS = 100
ROOT = Path(__file__).resolve().parents[1]

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": DAY_S}
_DURATION = re.compile(r"(\d+)\s*([smhd]?)")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and says what would do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`redis_url` None: the server that this project starts for itself; `api_url` None: at `host` and
    `port`. Durations are in seconds."""

    state: Path
    lake: Path
    redis_url: str | None = None
    spark_master: str = "local[*]"
    spark_conf: Path | None = None
    clock: Literal["wall", "event"] = "wall"
    clock_max_jump_s: int = 30 * DAY_S
    currency: str = "USD"
    consent: Literal["personalize", "aggregate"] = "personalize"
    late_horizon_s: int = 7 * DAY_S
    ahead_limit_s: int = DAY_S
    tiles_kept: int = 1
    shards: int = 16
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    api_url: str | None = None
    encoder: str = "packaged"
    score_log: float = 1.0
    first_day: date = date(2014, 1, 1)
    training_rows: int = 200_000
    utterances: Path | None = None
    catalogue: Path | None = None
    categories: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Unset and empty variables take their defaults. Raises SettingsError at the first bad one."""
        given = {
            field: _parse(name, environment[name], parser)
            for field, (name, parser) in VARIABLES.items()
            if environment.get(name)
        }
        state = given.setdefault("state", ROOT / ".state")
        given.setdefault("lake", state / "lake")
        return cls(**given)

    def environment(self) -> dict[str, str]:
        """The variables another process needs to read the same settings."""
        values = {name: getattr(self, field) for field, (name, _) in VARIABLES.items()}
        return {name: str(value) for name, value in values.items() if value is not None}

    @property
    def own_api_url(self) -> str:
        """Where clients of this project's own find the API."""
        return self.api_url or f"http://{self.host}:{self.port}"

    @property
    def door(self) -> DoorPolicy:
        return DoorPolicy(
            currency=self.currency,
            consent=self.consent,
            late_horizon_s=self.late_horizon_s,
            ahead_limit_s=self.ahead_limit_s,
        )

    @property
    def id_memory_s(self) -> int:
        """How long an accepted event's id is remembered: a retry is then recognised or too late."""
        return self.late_horizon_s + self.ahead_limit_s


def duration_s(text: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError("is not a duration such as 7d, 12h, 30m, 45s or a number of seconds")
    return int(match[1]) * _UNITS_S[match[2]]


def _parse(name: str, text: str, parser) -> Any:
    try:
        return parser(text)
    except ValueError as error:
        raise SettingsError(f"{name}={text} {error}") from None


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _one_of(*choices: str):
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return parse


def _whole(low: int, high: int):
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError("is not a number from 0 to 1")
    return value


def _currency(text: str) -> str:
    if not re.fullmatch("[A-Z]{3}", text):
        raise ValueError("is not an ISO 4217 code such as USD")
    return text


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a day such as 2019-10-01") from None


def _redis_url(text: str) -> str:
    schemes = ("redis://", "rediss://", "redis+cluster://", "rediss+cluster://", "unix://")
    if not text.startswith(schemes):
        raise ValueError(f"does not start with one of {', '.join(schemes)}")
    return text


def _http_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("does not start with http:// or https://")
    return text.rstrip("/")


VARIABLES = {
    "state": ("INTENT_STATE", _path),
    "lake": ("INTENT_LAKE", _path),
    "redis_url": ("INTENT_REDIS_URL", _redis_url),
    "spark_master": ("INTENT_SPARK_MASTER", str),
    "spark_conf": ("INTENT_SPARK_CONF", _path),
    "clock": ("INTENT_CLOCK", _one_of("wall", "event")),
    "clock_max_jump_s": ("INTENT_CLOCK_MAX_JUMP", duration_s),
    "currency": ("INTENT_CURRENCY", _currency),
    "consent": ("INTENT_CONSENT", _one_of("personalize", "aggregate")),
    "late_horizon_s": ("INTENT_LATE_HORIZON", duration_s),
    "ahead_limit_s": ("INTENT_AHEAD_LIMIT", duration_s),
    "tiles_kept": ("INTENT_TILES_KEPT", _whole(1, 100)),
    "shards": ("INTENT_SHARDS", _whole(1, MAX_SHARDS)),
    "host": ("INTENT_HOST", str),
    "port": ("INTENT_PORT", _whole(1, 65_535)),
    "workers": ("INTENT_WORKERS", _whole(1, 256)),
    "api_url": ("INTENT_API_URL", _http_url),
    "encoder": ("INTENT_ENCODER", str),
    "score_log": ("INTENT_SCORE_LOG", _share),
    "first_day": ("INTENT_FIRST_DAY", _day),
    "training_rows": ("INTENT_TRAINING_ROWS", _whole(1, 10**9)),
    "utterances": ("INTENT_UTTERANCES", _path),
    "catalogue": ("INTENT_CATALOGUE", _path),
    "categories": ("INTENT_CATEGORIES", _path),
}
