"""Times as logs write them, to aware datetimes; what cannot be read is None."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from feature_repo.events import to_us

Instant = Annotated[datetime, Meta(tz=True)]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_800_000  # the year 10000, where datetimes end


def from_ms(milliseconds: int) -> datetime | None:
    if not 0 <= milliseconds < _LATEST_MS:
        return None
    return _EPOCH + timedelta(milliseconds=milliseconds)


def from_rfc3339(text: str) -> datetime | None:
    try:
        return msgspec.convert(text, Instant)
    except msgspec.ValidationError:
        return None


def instant_us(moment: datetime | None) -> int | None:
    """Microseconds since the epoch; None of None."""
    return None if moment is None else to_us(moment)
