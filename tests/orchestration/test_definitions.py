"""What Dagster shows: everything loads, and every asset says what it is."""

import dagster as dg
import pytest


@pytest.fixture(scope="module")
def definitions():
    from orchestration.definitions import defs

    return defs()


def test_everything_loads(definitions):
    dg.Definitions.validate_loadable(definitions)


def test_every_asset_has_a_description_an_owner_a_group_and_kinds(definitions):
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description and node.owners and node.kinds, key
        assert node.group_name != "default", key


def test_every_published_table_has_a_blocking_check(definitions):
    graph = definitions.resolve_asset_graph()
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}
    gated = {"clean_events", "user_activity", "item_activity", "session_activity", "text_embeddings"}
    gated |= {"user_intent_embedding", "query_embedding", "item_embedding", "training_labels", "release"}
    gated |= {"user_tiles", "item_tiles", "session_state"}
    gated |= {"item_attributes", "score_log", "outcomes", "user_profile", "item_profile"}
    gated |= {"user_day_tiles", "item_day_tiles", "session_day_tiles", "training_rows", "user_profile"}
    gated |= {"item_profile", "user_keywords", "item_attributes"}
    assert gated <= checked
    warnings = {"metrics_follow_their_trend", "served_release_keeps_its_promises"}
    assert all(graph.get(key).blocking for key in graph.asset_check_keys if key.name not in warnings)


def test_a_day_is_a_partition_today_included(definitions):
    from datetime import UTC, datetime

    from orchestration.partitions import days

    assert days.has_partition_key(datetime.now(UTC).date().isoformat())
    graph = definitions.resolve_asset_graph()
    assert graph.get(dg.AssetKey("clean_events")).partitions_def == days
    assert graph.get(dg.AssetKey("clean_events")).backfill_policy == dg.BackfillPolicy.single_run()


def test_every_table_shows_its_columns_and_what_they_mean(definitions):
    from spark_jobs.jobs.tables import SCHEMAS

    graph = definitions.resolve_asset_graph()
    shown = {
        key.to_user_string(): graph.get(key).metadata.get("dagster/column_schema")
        for key in graph.get_all_asset_keys()
    }
    described = {name: schema for name, schema in shown.items() if schema is not None}
    assert set(SCHEMAS) - {"quality_days"} <= set(described)
    lacking = [
        f"{t}.{c.name}" for t, schema in described.items() for c in schema.columns if not c.description
    ]
    assert lacking == []


def test_lineage_names_columns_that_are_there(definitions):
    from orchestration.columns import column_lineage
    from spark_jobs.jobs.tables import LEDGER, SCHEMAS

    columns = {t: {part.split()[0] for part in ddl.split(", ")} for t, ddl in SCHEMAS.items()}
    columns["landed_events"] = {part.split()[0] for part in LEDGER.split(", ")}
    for table in SCHEMAS:
        lineage = column_lineage(table)
        for column, sources in (lineage.deps_by_column if lineage else {}).items():
            assert column in columns[table], (table, column)
            for source in sources:
                assert source.column_name in columns[source.asset_key.to_user_string()], (table, source)


def test_every_asset_says_how_fresh_it_must_be(definitions):
    graph = definitions.resolve_asset_graph()
    assert all(graph.get(key).freshness_policy is not None for key in graph.get_all_asset_keys())
