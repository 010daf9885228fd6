"""The suites: what each table promises to those who read it, built from the declarations.

A critical expectation that fails keeps the table from being published; a warning is only shown.
Days are `YYYY-MM-DD`, both ends included.
"""

from collections.abc import Iterable
from typing import get_args

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation

from feature_repo.aggregates import Activity
from feature_repo.behavior import (
    DEFINITIONS_HASH,
    SESSION_ACTIVITY,
    Feature,
    windowed,
)
from feature_repo.events import EVENT_TYPES, MAX_PRICE_MINOR, MAX_QUANTITY, Consent
from orchestration.quality.event_rules import event_rules, item_rules
from orchestration.quality.expectations import (
    FEATURE_TYPES,
    FLAG,
    INTEGER,
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
    STATE_COLUMNS,
    TILES_COLUMNS,
    VECTOR_COLUMNS,
    session_rules,
    state_rule,
    steps_rule,
    tiles_rule,
    vector_rules,
    windowed_rules,
)
from orchestration.quality.rules import RowRule
from spark_jobs.jobs.clean_events import FINGERPRINT, LedgerCount

MAX_BOT_SHARE = 0.2


def clean_events(first_day: str, last_day: str, currency: str, ledger: LedgerCount | None = None) -> Suite:
    """Ledger columns plus what cleaning adds to them; `currency` is the shop's. With `ledger`, what the
    ledger has of these days, no event is missing and none is changed.
    """
    return Suite(
        name="clean_events",
        key=("user_id", "event_id"),
        columns={
            **_types(TEXT, "user_id", "event_id", "event_type", "session_key", "currency", "consent"),
            **_types(TIME, "event_time", "claimed_time", "received_at"),
            **_types(TEXT, "category", "category_path", "category_source"),
            **_types(TEXT, "brand", "brand_name", "brand_source", "price_source"),
            **_types(INTEGER, "price", "quantity", "amount", "unit_price"),
            **_types(FLAG, "is_bot", "is_outlier", "personal"),
        },
        derived={"raw_fingerprint": FINGERPRINT} if ledger else {},
        expectations=(
            has_rows(
                "there is at least one event",
                "the ledger has no event of this day: import or land its log, or leave it out",
            ),
            *(_as_in(ledger) if ledger else ()),
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
        rules=(
            filled("user_id", "event_id", "event_time", "received_at", "session_key"),
            *event_rules(),
        ),
    )


def _as_in(ledger: LedgerCount) -> tuple[Expectation, ...]:
    return (
        expect(
            gxe.ExpectTableRowCountToEqual,
            "no_event_is_lost_or_doubled",
            f"there are the {ledger.rows:,} events that the ledger has of these days",
            value=ledger.rows,
        ),
        expect(
            gxe.ExpectColumnSumToBeBetween,
            "raw_columns_are_unchanged",
            "all that the ledger says of the events is here as it says it: fingerprints add up to the same",
            column="raw_fingerprint",
            min_value=ledger.fingerprint,
            max_value=ledger.fingerprint,
        ),
    )


def item_attributes(first_day: str, last_day: str) -> Suite:
    return Suite(
        name="item_attributes",
        key=("item_id", "start"),
        columns={
            **_types(TEXT, "item_id", "category", "brand"),
            **_types(TIME, "start"),
            **_types(INTEGER, "median_price", "priced_events"),
        },
        expectations=(
            unique("item_id", "start"),
            in_days("start", first_day, last_day),
        ),
        rules=(filled("item_id", "start", "priced_events"), *item_rules()),
    )


def activity(of: Activity, first_day: str | None = None, last_day: str | None = None) -> Suite:
    """Change rows of an activity; without days, as for the part `tail`, times are not bounded."""
    return _activity(of.view, of.keys, windowed(of), windowed_rules(of), first_day, last_day)


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
            **{f.name: FEATURE_TYPES[f.dtype] for f in features},
        },
        expectations=(
            unique(*key),
            *((in_days("event_timestamp", first_day, last_day),) if bounded else ()),
        ),
        rules=(filled(*key, "created_timestamp"), *rules),
    )


def text_embeddings(encoder_revision: str) -> Suite:
    return _vectors(
        "text_embeddings", ("content_hash",), _types(TEXT, "text", "normalized"), encoder_revision
    )


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
            unique(*key),
            in_set(
                "one_encoder_revision",
                "encoder_revision",
                (encoder_revision,),
                "vectors of two encoders are never mixed: embed the rows shown again",
            ),
        ),
        rules=(filled(*(c for c in types if c != "embedding")), *vector_rules()),
    )


def serving_tiles(of: Activity) -> Suite:
    columns = {**_types(TEXT, "tiles"), **_types(INTEGER, "newest_event_us")}
    return _serving(of.tiles, of.keys, columns, TILES_COLUMNS, tiles_rule(of))


def session_state() -> Suite:
    columns = _types(TEXT, "state", "steps")
    return _serving(
        "session_state", ("user_id", "session_id"), columns, STATE_COLUMNS, state_rule(), steps_rule()
    )


def _serving(
    name: str, key: tuple[str, ...], columns: ColumnTypes, derived: dict[str, str], *rules: RowRule
) -> Suite:
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
        derived=derived,
        expectations=(
            unique(*key),
            in_set(
                "definitions_are_the_codes",
                "definitions_hash",
                (DEFINITIONS_HASH,),
                "computed under other declarations: materialize again with this code",
            ),
            _one_covered_epoch(),
        ),
        rules=(filled(*types), *rules),
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


def _types(types: tuple[str, ...], *columns: str) -> ColumnTypes:
    return dict.fromkeys(columns, types)
