import msgspec
import pytest

from feature_repo.behavior import HOPS_S, SERVICE_FEATURES, WINDOWS
from feature_repo.events import rfc3339
from online_api import keys
from online_api.epochs import BlockingLedger
from tests.online_api.events import DAY, HOUR, MINUTE, NOW, SECOND, event
from tests.online_api.feast_values import (
    write_embedding,
    write_row,
    write_user_profile,
    write_user_tiles,
)

VIEWS_1H = "user_activity:view_count_1h"
VECTOR = [0.5, -0.25, *([0.0] * 382)]


def tiles_of_views(time: int, count: int) -> list[tuple]:
    return [(hop, time // (hop * SECOND) * hop * SECOND, 0, count) for hop in HOPS_S]


def asked(client, features, entities, **more):
    return client.ok("/v1/features", {"features": features, "entities": entities, **more})


def test_answers_in_the_order_asked_with_a_value_per_entity(client):
    client.post_events(
        event("e1"), event("e2", user_id="u2"), event("e3", "search", user_id="u2", query="灯")
    )
    answer = asked(
        client,
        ["user_activity:search_count_7d", VIEWS_1H, "user_activity:search_count_7d"],
        {"user_id": ["u2", "nobody", "u1", "u2"]},
    )
    assert answer["features"][0] == answer["features"][2] == "user_activity:search_count_7d"
    assert [r["values"] for r in answer["results"]] == [[1, 0, 0, 1], [1, 0, 1, 1], [1, 0, 0, 1]]
    assert {s for r in answer["results"] for s in r["statuses"]} == {"PRESENT"}
    assert answer["results"][0]["event_timestamps"] == [rfc3339(NOW)] * 4
    assert answer["as_of_exact"] == [True] * 4


def test_service_answers_its_features_in_the_declared_order(client):
    body = {"feature_service": "intent_v1", "entities": {"user_id": ["u1"]}}
    answer = client.ok("/v1/features", body)
    assert answer["features"] == [f.reference for f in SERVICE_FEATURES]
    for feature, result in zip(SERVICE_FEATURES, answer["results"], strict=True):
        if feature.source == "batch":
            assert result == {"values": [None], "statuses": ["NOT_FOUND"], "event_timestamps": [None]}
        else:
            assert (result["values"], result["statuses"]) == ([0], ["PRESENT"])


def test_a_profile_is_answered_as_it_was_stored_with_its_age(client, server):
    """Lists of strings, nulls that are known to be null, and rows older than the view's limit."""
    likes = ["电器/手机", "shoes"]
    write_user_profile(server, "u1", NOW - DAY, frequency=2, preferred_categories=likes, recency_days=None)
    write_user_profile(server, "u2", NOW - 91 * DAY, preferred_categories=[], persona="regular-browser")
    names = [f"user_profile:{n}" for n in ("preferred_categories", "frequency", "recency_days", "persona")]
    body = {"features": names, "entities": {"user_id": ["u1", "u2", "nobody"]}}
    answer = client.ok("/v1/features", body)
    assert [r["values"] for r in answer["results"]] == [
        [likes, [], None], [2, 0, None], [None, 3650, None], [None, "regular-browser", None],
    ]  # fmt: skip
    ages = [rfc3339(NOW - DAY), rfc3339(NOW - 91 * DAY), None]
    assert all(r["event_timestamps"] == ages for r in answer["results"])
    assert [r["statuses"] for r in answer["results"]] == [
        ["PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"],
        ["PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"],
        ["NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"],
        ["NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"],
    ]
    feast = client.ok("/get-online-features", body)
    assert feast["results"][1]["values"] == [likes, [], None]


# -- base and live ----------------------------------------------------------------------------------


def test_base_and_uncovered_epochs_count_each_event_once(client, blocking, settings, server):
    ledger = BlockingLedger(blocking, settings)
    client.post_events(event("e1"), event("e2"))
    covered = ledger.close_epoch()
    client.post_events(event("e3"))
    assert client.feature(VIEWS_1H, user_id="u1") == (3, "PRESENT")
    write_user_tiles(server, "u1", tiles_of_views(NOW, 2), NOW, covered, newest=NOW)
    assert client.feature(VIEWS_1H, user_id="u1") == (3, "PRESENT")
    ledger.prune(covered)
    assert client.feature(VIEWS_1H, user_id="u1") == (3, "PRESENT")
    # an import adds to the base what was never live
    write_user_tiles(server, "u1", tiles_of_views(NOW, 12), NOW, covered, newest=NOW)
    assert client.feature(VIEWS_1H, user_id="u1") == (13, "PRESENT")


def test_a_time_before_the_base_was_computed_is_not_exact(client, server):
    """The base has only the tiles that windows need from then on."""
    write_user_tiles(server, "u1", [], NOW, 1, newest=NOW - 3 * HOUR)
    for as_of, exact in ((NOW - 2 * HOUR, False), (NOW, True)):
        answer = asked(client, [VIEWS_1H], {"user_id": ["u1"]}, as_of=rfc3339(as_of))
        assert answer["as_of_exact"] == [exact]


def test_base_of_other_definitions_is_not_read(client, server):
    client.post_events(event("e1"))
    write_user_tiles(server, "u1", tiles_of_views(NOW, 9), NOW, 99, newest=NOW, definitions="0" * 12)
    assert client.feature(VIEWS_1H, user_id="u1") == (1, "PRESENT")


def test_item_base_and_live_add_up(client, blocking, settings, server):
    client.post_events(event("e1", item_id="lamp"), event("e2", user_id="u2", item_id="lamp"))
    covered = BlockingLedger(blocking, settings).close_epoch()
    client.post_events(event("e3", item_id="lamp"))
    write_row(
        server, "item_tiles", {"item_id": "lamp"}, NOW,
        tiles=("string_val", str([list(t) for t in tiles_of_views(NOW, 2)])),
        newest_event_us=("int64_val", NOW),
        covered_epoch=("int64_val", covered),
        definitions_hash=("string_val", keys.DEFINITIONS_HASH),
    )  # fmt: skip
    assert client.feature("item_activity:view_count_10m", item_id="lamp") == (3, "PRESENT")


def test_session_base_and_live_merge(client, blocking, settings, server):
    ledger = BlockingLedger(blocking, settings)
    client.post_events(event("e1", session_id="s1"), event("e2", session_id="s1", event_time=NOW - MINUTE))
    covered = ledger.close_epoch()
    state = {
        "session_event_count": 2, "session_view_count": 2,
        "session_first_event_us": NOW - MINUTE, "session_last_event_us": NOW,
    }  # fmt: skip
    write_row(
        server, "session_state", {"user_id": "u1", "session_id": "s1"}, NOW,
        state=("string_val", msgspec.json.encode(state).decode()),
        covered_epoch=("int64_val", covered),
        definitions_hash=("string_val", keys.DEFINITIONS_HASH),
    )  # fmt: skip
    client.now += 10 * SECOND
    client.post_events(event("e3", "add_to_cart", NOW + 10 * SECOND, session_id="s1", price=5, quantity=3))
    asked_of = {"user_id": "u1", "session_id": "s1"}
    values = {
        name: client.feature(f"session_activity:session_{name}", **asked_of)
        for name in ("event_count", "view_count", "cart_amount", "duration_s")
    }
    assert values == {
        "event_count": (3, "PRESENT"),
        "view_count": (2, "PRESENT"),
        "cart_amount": (15, "PRESENT"),
        "duration_s": (70.0, "PRESENT"),
    }


# -- as of ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [w for w in WINDOWS if w.name in ("10m", "24h", "30d")])
def test_windows_slide_past_the_last_event(client, window):
    client.post_events(event("e1"))
    last, gone = rfc3339(window.expiry(NOW) - 1), rfc3339(window.expiry(NOW))
    reference = f"user_activity:view_count_{window.name}"
    assert client.feature(reference, as_of=last, user_id="u1") == (1, "PRESENT")
    assert client.feature(reference, as_of=gone, user_id="u1") == (0, "PRESENT")


def test_as_of_before_the_newest_event_is_marked_inexact_for_that_entity(client):
    client.post_events(
        event("e1", event_time=NOW - HOUR),
        event("e2"),
        event("e3", user_id="u2", event_time=NOW - HOUR),
    )
    answer = asked(client, [VIEWS_1H], {"user_id": ["u1", "u2"]}, as_of=rfc3339(NOW - 5 * MINUTE))
    assert answer["as_of_exact"] == [False, True]
    assert answer["results"][0]["values"] == [1, 1]


@pytest.mark.parametrize(
    "as_of",
    ["2025-10-09T08:00:00", "yesterday", "1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", 12],
)
def test_bad_as_of_is_refused(client, as_of):
    body = {"features": [VIEWS_1H], "entities": {"user_id": ["u1"]}, "as_of": as_of}
    response = client.post("/v1/features", json=body)
    assert response.status_code == 422
    assert response.json()["error"]["field"] == "as_of"


# -- sessions ---------------------------------------------------------------------------------------


def test_session_not_named_is_the_current_one(client):
    client.post_events(
        event("e1", session_id="old", event_time=NOW - HOUR),
        event("e2", session_id="new", event_time=NOW - MINUTE),
        event("e3", session_id="new"),
        event("e4", user_id="u2", session_id="old", event_time=NOW - HOUR),
    )
    reference = "session_activity:session_event_count"
    answer = asked(client, [reference], {"user_id": ["u1", "u2", "u3"]})
    assert answer["results"][0]["values"] == [2, 0, 0]
    assert answer["results"][0]["statuses"] == ["PRESENT"] * 3
    named = asked(client, [reference], {"user_id": ["u1", "u1"], "session_id": ["old", None]})
    assert named["results"][0]["values"] == [1, 2]


def test_current_session_may_be_in_the_base(client, server):
    write_user_tiles(server, "u1", [], NOW, 5, newest=NOW, session=(NOW - 29 * MINUTE, "s1"))
    write_row(
        server, "session_state", {"user_id": "u1", "session_id": "s1"}, NOW,
        state=("string_val", '{"session_event_count":4}'),
        covered_epoch=("int64_val", 5),
        definitions_hash=("string_val", keys.DEFINITIONS_HASH),
    )  # fmt: skip
    reference = "session_activity:session_event_count"
    assert client.feature(reference, user_id="u1") == (4, "PRESENT")
    later = rfc3339(NOW + 2 * MINUTE)
    assert client.feature(reference, as_of=later, user_id="u1") == (0, "PRESENT")


def test_session_of_the_day_before_yesterday_is_outside_its_age(client):
    client.post_events(event("e1", session_id="s1"))
    entity = {"user_id": "u1", "session_id": "s1"}
    reference = "session_activity:session_event_count"
    edge, past = rfc3339(NOW + DAY), rfc3339(NOW + DAY + 1)
    assert client.feature(reference, as_of=edge, **entity) == (1, "PRESENT")
    assert client.feature(reference, as_of=past, **entity) == (1, "OUTSIDE_MAX_AGE")


# -- stored views -----------------------------------------------------------------------------------


def test_statuses_of_a_stored_view(client, server):
    write_embedding(server, "fresh", VECTOR, NOW - 30 * DAY, "r1")
    write_embedding(server, "old", VECTOR, NOW - 30 * DAY - 1, "r1")
    write_embedding(server, "null", None, NOW, "r1")
    answer = asked(
        client,
        ["user_intent_embedding:embedding", "user_intent_embedding:encoder_revision"],
        {"user_id": ["fresh", "old", "null", "nobody"]},
    )
    vector, revision = answer["results"]
    assert vector["values"] == [VECTOR, VECTOR, None, None]
    assert vector["statuses"] == ["PRESENT", "OUTSIDE_MAX_AGE", "NULL_VALUE", "NOT_FOUND"]
    assert vector["event_timestamps"] == [
        rfc3339(NOW - 30 * DAY), rfc3339(NOW - 30 * DAY - 1), rfc3339(NOW), None,
    ]  # fmt: skip
    assert revision["values"] == ["r1", "r1", "r1", None]


def test_query_is_looked_up_in_its_normal_form(client, server):
    write_row(
        server, "query_embedding", {"query": "desk lamp"}, NOW,
        embedding=("float_list_val", VECTOR), encoder_revision=("string_val", "r1"),
    )  # fmt: skip
    found = client.feature("query_embedding:embedding", query="  Desk　ＬＡＭＰ ")
    assert found == (VECTOR, "PRESENT")


# -- refusals ---------------------------------------------------------------------------------------

ONE = {"user_id": ["u1"]}


@pytest.mark.parametrize(
    ("body", "status", "code", "named"),
    [
        ({"entities": ONE}, 422, "invalid", "feature_service"),
        ({"entities": ONE, "features": []}, 422, "invalid", "feature_service"),
        (
            {"entities": ONE, "features": [VIEWS_1H], "feature_service": "intent_v1"},
            422,
            "invalid",
            "either",
        ),
        ({"entities": ONE, "feature_service": "intent_v9"}, 404, "unknown_service", "intent_v1"),
        ({"entities": ONE, "features": ["view_count_1h"]}, 404, "unknown_feature", "user_activity"),
        (
            {"entities": ONE, "features": ["user_activity:view_count_2h"]},
            404,
            "unknown_feature",
            "view_count_1h",
        ),
        ({"entities": {}, "features": [VIEWS_1H]}, 422, "missing_entity", "user_id"),
        (
            {"entities": {"item_id": ["a"]}, "features": [VIEWS_1H]},
            422,
            "missing_entity",
            "user_id",
        ),
        ({"entities": {"shop": ["a"]}, "features": [VIEWS_1H]}, 422, "invalid", "entities"),
        (
            {"entities": {**ONE, "item_id": ["a", "b"]}, "features": [VIEWS_1H]},
            422,
            "invalid",
            "lengths",
        ),
        ({"entities": {"user_id": [None]}, "features": [VIEWS_1H]}, 422, "invalid", "null"),
        ({"entities": {"user_id": ["a\x1fb"]}, "features": [VIEWS_1H]}, 422, "invalid", "control"),
        ({"entities": {"user_id": ["x" * 257]}, "features": [VIEWS_1H]}, 422, "invalid", "256"),
        ({"entities": ONE, "features": [VIEWS_1H], "asof": 1}, 422, "unknown_field", "asof"),
    ],
)
def test_what_does_not_exist_is_refused_saying_what_does(client, body, status, code, named):
    response = client.post("/v1/features", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert named in error["message"]


# -- Feast's contract -------------------------------------------------------------------------------


def test_feast_contract_has_entity_columns_first_and_times_everywhere(client):
    client.post_events(event("e1"))
    body = {
        "features": [VIEWS_1H, "user_intent_embedding:embedding"],
        "entities": {"user_id": ["u1", "u2"]},
        "full_feature_names": False,
        "include_feature_view_version_metadata": False,
    }
    answer = client.ok("/get-online-features", body)
    assert answer["metadata"]["feature_names"] == ["user_id", "view_count_1h", "embedding"]
    entity, views, vector = answer["results"]
    assert entity["values"] == ["u1", "u2"] and entity["statuses"] == ["PRESENT"] * 2
    assert views["values"] == [1, 0]
    assert vector["statuses"] == ["NOT_FOUND"] * 2
    assert vector["event_timestamps"] == ["1970-01-01T00:00:00Z"] * 2
    full = client.ok("/get-online-features", {**body, "full_feature_names": True})
    assert full["metadata"]["feature_names"][1] == "user_activity__view_count_1h"


def test_feast_contract_takes_the_service_and_numbers_as_ids(client):
    client.post_events(event("e1", user_id="7", session_id="s1"))
    body = {"feature_service": "intent_v1", "entities": {"user_id": [7], "session_id": ["s1"]}}
    answer = client.ok("/get-online-features", body)
    by_name = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    assert len(by_name) == 2 + len(SERVICE_FEATURES)
    assert by_name["session_event_count"]["values"] == [1]


def test_feast_contract_refuses_names_that_collide(client):
    body = {
        "features": [VIEWS_1H, "item_activity:view_count_1h"],
        "entities": {"user_id": ["u1"], "item_id": ["lamp"]},
    }
    response = client.post("/get-online-features", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "name_collision")
    assert client.ok("/get-online-features", {**body, "full_feature_names": True})
