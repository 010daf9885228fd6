"""What the ledger promises to whoever reads it: that the door was the only way in."""

from typing import get_args

from feature_repo.events import EVENT_TYPES, MAX_PRICE_MINOR, MAX_QUANTITY, Consent, Device, Scenario
from orchestration.quality.expectations import (
    INTEGER,
    TEXT,
    TIME,
    Suite,
    between,
    filled,
    in_days,
    in_set,
    unique,
)
from orchestration.quality.rules import Broken, RowRule

NOT_THROUGH_THE_DOOR = "this was not written by landing or import: find out who wrote it, then land it again"
NEEDED = ("user_id", "event_id", "event_type", "event_time", "claimed_time", "received_at")
POSITION = ("shard", "seq", "epoch")


def ledger(first_day: str, last_day: str) -> Suite:
    """Landed events of these days as they stand in the ledger's files, before anything is made of them."""
    times = ("event_time", "claimed_time", "received_at")
    return Suite(
        name="ledger",
        key=("user_id", "event_id"),
        columns={
            **dict.fromkeys(("user_id", "event_id", "event_type", "consent", "scenario", "device"), TEXT),
            **dict.fromkeys(times, TIME),
            **dict.fromkeys(("price", "quantity", *POSITION), INTEGER),
        },
        expectations=(
            unique("user_id", "event_id"),
            in_days("event_time", first_day, last_day),
            in_set("event_type_is_known", "event_type", EVENT_TYPES, NOT_THROUGH_THE_DOOR),
            in_set("consent_is_known", "consent", get_args(Consent), NOT_THROUGH_THE_DOOR),
            in_set("scenario_is_known", "scenario", get_args(Scenario), NOT_THROUGH_THE_DOOR),
            in_set("device_is_known", "device", get_args(Device), NOT_THROUGH_THE_DOOR),
            between("price_is_in_range", "price", 0, MAX_PRICE_MINOR),
            between("quantity_is_in_range", "quantity", 1, MAX_QUANTITY),
        ),
        rules=(
            filled(*NEEDED, *POSITION),
            RowRule(
                "times_are_as_the_door_stamps_them",
                "event_time is the earlier of claimed_time and received_at",
                NOT_THROUGH_THE_DOOR,
                (Broken("event_time <> least(claimed_time, received_at)", times),),
            ),
        ),
    )
