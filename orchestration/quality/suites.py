"""The suites: what each table promises to those who read it, built from the declarations.

A critical expectation that fails keeps the table from being published; a warning is only shown.
Days are `YYYY-MM-DD`, both ends included.
"""

from collections.abc import Iterable
from typing import get_args

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation

from feature_repo.behavior import (
    DEFINITIONS_HASH,
    ITEM_ACTIVITY,
    SESSION_ACTIVITY,
    USER_ACTIVITY,
    Feature,
)
from feature_repo.events import EVENT_TYPES, MAX_PRICE_MINOR, MAX_QUANTITY, Consent
from orchestration.quality.expectations import (
    FIX_JOB,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    VECTOR,
    ColumnTypes,
    Suite,
    between,
    expect,
    filled,
    has_rows,
    in_days,
    in_set,
    unique,
)
from orchestration.quality.feature_rules import (
    VECTOR_COLUMNS,
    session_rules,
    state_rule,
    tiles_rule,
    vector_rules,
    windowed_rules,
)
from orchestration.quality.rules import Broken, RowRule, is_null

MAX_BOT_SHARE = 0.2
LABELS = ("purchase", "add_to_cart", "leave")


def clean_events(first_day: str, last_day: str, currency: str) -> Suite:
    """Ledger columns plus what cleaning adds to them; `currency` is the shop's."""
    return Suite(
        name="clean_events",
        key=("user_id", "event_id"),
        columns={
            **_types(TEXT, "user_id", "event_id", "event_type", "session_key", "currency", "consent"),
            **_types(TIME, "event_time", "claimed_time", "received_at"),
            **_types(INTEGER, "price", "quantity", "amount"),
            **_types(FLAG, "is_bot", "is_outlier", "personal"),
        },
        expectations=(
            has_rows(
                "there is at least one event",
                "the ledger has no event of this day: import or land its log, or leave it out",
            ),
            *filled("user_id", "event_id", "event_time", "received_at", "session_key"),
            unique("user_id", "event_id"),
            in_days("event_time", first_day, last_day),
            in_set("event_type_is_known", "event_type", EVENT_TYPES),
            in_set("consent_is_known", "consent", get_args(Consent)),
            in_set(
                "currency_is_the_shops",
                "currency",
                (currency,),
                "set INTENT_CURRENCY as it was when these events came in: currencies do not add up",
            ),
            between("price_is_in_range", "price", 0, MAX_PRICE_MINOR),
            between("quantity_is_in_range", "quantity", 1, MAX_QUANTITY),
            expect(
                gxe.ExpectColumnValuesToBeInSet,
                "bots_are_few",
                f"at most {MAX_BOT_SHARE:.0%} of the events are flagged as a bot's",
                "look at bot_reason: a crawler came by, or the limits do not suit this shop",
                "warning",
                column="is_bot",
                value_set=[False],
                mostly=1 - MAX_BOT_SHARE,
            ),
        ),
        rules=_event_rules(),
    )


def _event_rules() -> tuple[RowRule, ...]:
    times = ("event_time", "claimed_time", "received_at")
    return (
        RowRule(
            "events_arrive_after_they_happen",
            "received_at is not before event_time, the earlier of claimed_time and received_at",
            "the door stamps these times: this was not written by landing or import; land it again",
            (
                Broken("received_at < event_time", times),
                Broken("event_time <> least(claimed_time, received_at)", times),
            ),
        ),
        RowRule(
            "derived_columns_follow_the_event",
            "amount is price times quantity or 0, personal is the consent, flags are set",
            FIX_JOB,
            (
                *is_null(("event_type", "consent", "currency", "quantity")),
                *is_null(("amount", "personal", "is_bot", "is_outlier")),
                Broken(
                    "amount <> try_multiply(coalesce(price, 0), quantity)",
                    ("amount", "price", "quantity"),
                ),
                Broken("personal <> (consent = 'personalize')", ("personal", "consent")),
            ),
        ),
        RowRule(
            "purchases_carry_a_price",
            "a purchase names its price; one that does not counts as no money",
            "ask the shop to send price with purchases: purchase_amount is too low without it",
            (Broken("event_type = 'purchase' AND price IS NULL", ("event_type", "price")),),
            severity="warning",
        ),
    )


def user_activity(first_day: str | None = None, last_day: str | None = None) -> Suite:
    """Change rows of shoppers; without days, as for the part `tail`, times are not bounded."""
    return _activity(
        "user_activity",
        ("user_id",),
        USER_ACTIVITY,
        windowed_rules(USER_ACTIVITY),
        first_day,
        last_day,
    )


def item_activity(first_day: str | None = None, last_day: str | None = None) -> Suite:
    return _activity(
        "item_activity",
        ("item_id",),
        ITEM_ACTIVITY,
        windowed_rules(ITEM_ACTIVITY),
        first_day,
        last_day,
    )


def session_activity(first_day: str | None = None, last_day: str | None = None) -> Suite:
    return _activity(
        "session_activity",
        ("user_id", "session_id"),
        SESSION_ACTIVITY,
        session_rules(),
        first_day,
        last_day,
    )


def _activity(
    name: str,
    entities: tuple[str, ...],
    features: Iterable[Feature],
    rules: tuple[RowRule, ...],
    first_day: str | None,
    last_day: str | None,
) -> Suite:
    key = (*entities, "event_timestamp")
    bounded = first_day is not None and last_day is not None
    return Suite(
        name=name,
        key=key,
        columns={
            **_types(TEXT, *entities),
            **_types(TIME, "event_timestamp", "created_timestamp"),
            **{f.name: INTEGER if f.dtype == "int64" else NUMBER for f in features},
        },
        expectations=(
            *filled(*key, "created_timestamp"),
            unique(*key),
            *((in_days("event_timestamp", first_day, last_day),) if bounded else ()),
        ),
        rules=rules,
    )


def text_embeddings(encoder_revision: str) -> Suite:
    return _vectors("text_embeddings", ("content_hash",), _types(TEXT, "text"), encoder_revision)


def entity_embedding(view: str, entity: str, encoder_revision: str) -> Suite:
    """A view of vectors by entity: user_intent_embedding, query_embedding, item_embedding."""
    times = _types(TIME, "event_timestamp", "created_timestamp")
    return _vectors(view, (entity, "event_timestamp"), times, encoder_revision)


def user_intent_embedding(encoder_revision: str) -> Suite:
    return entity_embedding("user_intent_embedding", "user_id", encoder_revision)


def _vectors(name: str, key: tuple[str, ...], columns: ColumnTypes, encoder_revision: str) -> Suite:
    types = {**_types(TEXT, key[0], "encoder_revision"), **columns, "embedding": VECTOR}
    return Suite(
        name=name,
        key=key,
        columns=types,
        derived=VECTOR_COLUMNS,
        expectations=(
            *filled(*(c for c in types if c != "embedding")),
            unique(*key),
            in_set(
                "one_encoder_revision",
                "encoder_revision",
                (encoder_revision,),
                "vectors of two encoders are never mixed: embed the rows shown again",
            ),
        ),
        rules=vector_rules(),
    )


def user_tiles() -> Suite:
    return _serving_tiles("user_tiles", "user_id")


def item_tiles() -> Suite:
    return _serving_tiles("item_tiles", "item_id")


def _serving_tiles(name: str, entity: str) -> Suite:
    columns = {**_types(TEXT, "tiles"), **_types(INTEGER, "newest_event_us")}
    return _serving(name, (entity,), columns, tiles_rule())


def session_state() -> Suite:
    return _serving("session_state", ("user_id", "session_id"), _types(TEXT, "state"), state_rule())


def _serving(name: str, key: tuple[str, ...], columns: ColumnTypes, rule: RowRule) -> Suite:
    types = {
        **_types(TEXT, *key, "definitions_hash"),
        **_types(TIME, "event_timestamp", "created_timestamp"),
        **_types(INTEGER, "covered_epoch"),
        **columns,
    }
    return Suite(
        name=name,
        key=key,
        columns=types,
        expectations=(
            *filled(*types),
            unique(*key),
            in_set(
                "definitions_are_the_codes",
                "definitions_hash",
                (DEFINITIONS_HASH,),
                "computed under other declarations: materialize again with this code",
            ),
            _one_covered_epoch(),
        ),
        rules=(rule,),
    )


def _one_covered_epoch() -> Expectation:
    return expect(
        gxe.ExpectColumnUniqueValueCountToBeBetween,
        "one_covered_epoch",
        "all rows cover the ledger up to one and the same epoch",
        "two runs wrote this snapshot: materialize again, one run at a time",
        column="covered_epoch",
        max_value=1,
    )


def training_labels() -> Suite:
    key = ("user_id", "session_id", "event_timestamp")
    return Suite(
        name="training_labels",
        key=key,
        columns={
            **_types(TEXT, "user_id", "session_id"),
            **_types(TIME, "event_timestamp"),
            **_types(INTEGER, *LABELS),
        },
        expectations=(
            has_rows(
                "there is something to train on",
                "import a longer log: rows whose horizon runs past its end are dropped",
                "warning",
            ),
            *filled(*key, *LABELS),
            unique(*key),
            *(in_set(f"{label}_is_0_or_1", label, (0, 1)) for label in LABELS),
        ),
    )


def _types(types: tuple[str, ...], *columns: str) -> ColumnTypes:
    return dict.fromkeys(columns, types)
