"""Events as tests send them."""

from feature_repo.events import LedgerEvent, rfc3339

NOW = 1_760_000_000_000_000  # 2025-10-09T08:53:20Z
SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000


def event(event_id: str, event_type: str = "view", event_time: int = NOW, **fields) -> dict:
    """As JSON carries it."""
    return {
        "event_id": event_id,
        "user_id": "u1",
        "event_type": event_type,
        "event_time": rfc3339(event_time),
        **fields,
    }


def stamped(event_id: str, event_type: str = "view", event_time: int = NOW, **fields) -> LedgerEvent:
    """As the ledger keeps it."""
    defaults = {
        "user_id": "u1",
        "claimed_time": event_time,
        "received_at": event_time,
        "session_id": None,
        "item_id": None,
        "category": None,
        "brand": None,
        "price": None,
        "currency": "USD",
        "quantity": 1,
        "query": None,
        "text": None,
        "scenario": None,
        "consent": "personalize",
    }
    known = {"event_id": event_id, "event_type": event_type, "event_time": event_time}
    return LedgerEvent(**{**defaults, **known, **fields})
