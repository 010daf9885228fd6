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
    assert gated <= checked
    assert all(graph.get(key).blocking for key in graph.asset_check_keys)


def test_a_day_is_a_partition_today_included(definitions):
    from datetime import UTC, datetime

    from orchestration.partitions import days

    assert days.has_partition_key(datetime.now(UTC).date().isoformat())
    graph = definitions.resolve_asset_graph()
    assert graph.get(dg.AssetKey("clean_events")).partitions_def == days
    assert graph.get(dg.AssetKey("clean_events")).backfill_policy == dg.BackfillPolicy.single_run()
