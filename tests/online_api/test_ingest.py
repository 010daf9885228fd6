from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from feature_repo.events import MAX_BATCH_EVENTS
from online_api import keys
from tests.online_api.client import running
from tests.online_api.events import DAY, HOUR, NOW, SECOND, event, rfc3339


def test_accepts_counts_repeats_and_the_next_read_sees_them(client):
    assert client.post_events(event("e1"), event("e2"), event("e1")) == {
        "accepted": 2,
        "duplicates": 1,
        "rejected": [],
    }
    assert client.post_events(event("e2")) == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert client.feature("user_activity:view_count_10m", user_id="u1") == (2, "PRESENT")


def test_empty_batch_is_nothing(client):
    assert client.post_events() == {"accepted": 0, "duplicates": 0, "rejected": []}


BAD = {
    "no user": ({"event_id": "b"}, "b", "invalid", "user_id"),
    "unknown field": (event("b", colour="red"), "b", "unknown_field", "colour"),
    "unknown type": (event("b", "stare"), "b", "invalid", "event_type"),
    "no zone": ({**event("b"), "event_time": "2025-10-09T08:00:00"}, "b", "invalid", "event_time"),
    "float price": (event("b", price=1.5), "b", "invalid", "price"),
    "control character": (event("b\u0000"), "b\u0000", "invalid", "event_id"),
    "not an object": ([1], None, "invalid", "object"),
    "numeric id": ({**event("b"), "event_id": 7}, None, "invalid", "event_id"),
    "late": (event("b", event_time=NOW - 7 * DAY - 1), "b", "too_late", "import"),
    "ahead": (event("b", event_time=NOW + DAY + 1), "b", "too_far_ahead", "clock"),
    "seconds": (event("b", event_time=1_760_000_000), "b", "out_of_range", "unit"),
    "currency": (event("b", currency="EUR"), "b", "currency", "INTENT_CURRENCY"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_only_the_bad_event_is_refused_and_its_field_named(client, bad):
    sent, event_id, code, named = bad
    answer = client.post_events(event("e1"), sent, event("e2"))
    assert answer["accepted"] == 2
    (rejected,) = answer["rejected"]
    assert (rejected["index"], rejected["event_id"], rejected["code"]) == (1, event_id, code)
    assert named in rejected["message"]


def test_event_with_broken_utf8_is_refused_alone(client):
    good = msgspec.json.encode(event("e1"))
    body = b'{"events":[' + good + b"," + good.replace(b"e1", b"\xff\xfe") + b"]}"
    answer = client.post("/v1/events", content=body).json()
    assert (answer["accepted"], answer["rejected"][0]["index"]) == (1, 1)


def test_events_on_the_edges_of_the_door_are_taken(client):
    edges = (NOW - 7 * DAY, NOW + DAY)
    answer = client.post_events(*(event(f"e{i}", event_time=time) for i, time in enumerate(edges)))
    assert answer["accepted"] == 2
    assert client.feature("user_activity:view_count_10m", user_id="u1") == (1, "PRESENT")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff", 400, "malformed_json"),
        (b"[]", 400, "invalid"),
        (b"{}", 400, "invalid"),
        (b'{"events": 1}', 400, "invalid"),
        (b'{"events": [], "more": 1}', 400, "unknown_field"),
    ],
)
def test_what_is_not_a_batch_is_refused_whole(client, server, body, status, code):
    response = client.post("/v1/events", content=body)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert not list(server.scan_iter("intent:{*}:log"))


def test_too_many_events_are_refused_whole(client, server):
    batch = {"events": [event(f"e{i}") for i in range(MAX_BATCH_EVENTS + 1)]}
    response = client.post("/v1/events", json=batch)
    assert response.status_code == 413
    assert str(MAX_BATCH_EVENTS) in response.json()["error"]["message"]
    assert not list(server.scan_iter("intent:{*}:log"))
    assert client.post_events(*batch["events"][:-1])["accepted"] == MAX_BATCH_EVENTS


def test_default_consent_is_a_setting_and_is_stamped(settings):
    with running(msgspec.structs.replace(settings, consent="aggregate")) as client:
        client.post_events(event("e1", item_id="lamp"), event("e2", item_id="lamp", consent="personalize"))
        assert client.feature("user_activity:view_count_1h", user_id="u1") == (1, "PRESENT")
        assert client.feature("item_activity:view_count_1h", item_id="lamp") == (2, "PRESENT")


def test_redis_down_is_said_and_sending_again_is_safe(tmp_path, settings):
    nowhere = msgspec.structs.replace(settings, redis_url="redis://127.0.0.1:1/0")
    with running(nowhere) as client:
        response = client.post("/v1/events", json={"events": [event("e1")]})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"]["code"] == "redis_unavailable"
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503


def test_the_same_events_at_once_from_many_clients_count_once(client):
    batches = [
        [event(f"e{i}", user_id=f"u{i % 5}", item_id="lamp") for i in range(n, n + 40)] for n in (0, 10, 20)
    ]
    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda batch: client.post_events(*batch), batches * 3))
    assert sum(a["accepted"] for a in answers) == 60
    assert sum(a["duplicates"] for a in answers) == 9 * 40 - 60
    assert client.feature("item_activity:view_count_1h", item_id="lamp") == (60, "PRESENT")
    assert client.feature("user_activity:view_count_1h", user_id="u3") == (12, "PRESENT")


def test_scripts_are_sent_again_to_a_server_that_lost_them(client, server):
    client.post_events(event("e1"))
    server.script_flush()
    assert client.post_events(event("e2", item_id="lamp"))["accepted"] == 1
    assert client.feature("item_activity:view_count_1h", item_id="lamp") == (1, "PRESENT")


def test_purchase_without_a_price_counts_as_nothing_and_is_reported(client):
    def reported():
        lines = client.get("/metrics").text.splitlines()
        (line,) = [x for x in lines if x.startswith("intent_purchases_unpriced_total")]
        return float(line.split()[1])

    before = reported()
    client.post_events(event("e1", "purchase"), event("e2", "purchase", price=0), event("e1", "purchase"))
    assert reported() == before + 1
    assert client.feature("user_activity:purchase_amount_1h", user_id="u1") == (0, "PRESENT")


# -- time is the newest event's ---------------------------------------------------------------------


@pytest.fixture
def replay(settings):
    with running(msgspec.structs.replace(settings, clock="event")) as client:
        client.now = NOW + 3_650 * DAY  # whatever the wall says
        yield client


def test_an_event_moves_the_event_clock_and_reads_are_as_of_it(replay, server):
    replay.post_events(event("e1", event_time=NOW), event("e2", event_time=NOW + HOUR))
    assert int(server.get(keys.CLOCK)) == NOW + HOUR
    body = {"features": ["user_activity:view_count_1h"], "entities": {"user_id": ["u1"]}}
    answer = replay.ok("/v1/features", body)
    assert answer["as_of"] == rfc3339(NOW + HOUR)
    assert answer["results"][0]["values"] == [2]


def test_event_clock_refuses_a_jump_and_stays(replay, server):
    replay.post_events(event("e1", event_time=NOW))
    answer = replay.post_events(event("e2", event_time=NOW + 31 * DAY), event("e3", event_time=NOW + SECOND))
    assert [r["code"] for r in answer["rejected"]] == ["too_far_ahead"]
    assert answer["accepted"] == 1
    assert int(server.get(keys.CLOCK)) == NOW + SECOND


def test_event_clock_judges_lateness_by_the_events(replay):
    replay.post_events(event("e1", event_time=NOW))
    late, in_time = event("e2", event_time=NOW - 8 * DAY), event("e3", event_time=NOW - 6 * DAY)
    answer = replay.post_events(late, in_time)
    assert [r["code"] for r in answer["rejected"]] == ["too_late"]
    assert answer["accepted"] == 1
