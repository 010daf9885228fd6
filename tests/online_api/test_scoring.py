import shutil
import time
from datetime import date

import msgspec
import numpy as np
import pytest

from feature_repo.behavior import DEFINITIONS_HASH, SERVICE_FEATURES
from feature_repo.events import rfc3339
from feature_repo.sequence import step_of
from models.runtime.behavior import TARGETS
from models.runtime.release import MANIFEST, Pointer, Release
from online_api import keys
from online_api.epochs import BlockingLedger
from online_api.score_log import unpack_vector
from tests.models.release_parts import REVISION, Parts
from tests.online_api.client import running
from tests.online_api.events import DAY, HOUR, MINUTE, NOW, event
from tests.online_api.feast_values import write_embedding, write_user_profile

REFERENCES = [f.reference for f in SERVICE_FEATURES]
VECTOR = "user_intent_embedding:embedding"
PRICE = [0.0, 0.0, 1.0, *([0.0] * 381)]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return Parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture
def release(parts, settings, server):
    shutil.copytree(parts.encoders, settings.state / "encoders")
    path = parts.build(settings.state / "releases")
    point_to(server, path)
    return Release.load(path, settings.state / "encoders")


def point_to(server, path) -> None:
    server.set(keys.RELEASE, msgspec.json.encode(Pointer(path.name, str(path))))


def refresh(client) -> None:
    client.portal.call(client.app.state.api.served.refresh)


@pytest.fixture
def scored(release, settings):
    with running(settings) as client:
        refresh(client)
        yield client


def score(client, user_id="u1", **more) -> dict:
    return client.ok("/v1/score", {"user_id": user_id, **more})


def log_of(client, blocking, settings) -> list:
    client.portal.call(client.app.state.api.log.flush)
    return [record for chunk in BlockingLedger(blocking, settings).scores() for _, record in chunk]


def test_without_a_release_it_says_how_to_get_one(client):
    response = client.post("/v1/score", json={"user_id": "u1"})
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "no_release"
    assert "intent release promote" in response.json()["error"]["message"]
    assert client.get("/readyz").json()["release"] is None


def test_score_is_the_releases_judgement_of_the_features_served(scored, release, server):
    scored.post_events(
        event("e1", session_id="s1", item_id="lamp", event_time=NOW - MINUTE),
        event("e2", "add_to_cart", session_id="s1", price=1999),
    )
    write_embedding(server, "u1", PRICE, NOW - HOUR, REVISION)
    write_user_profile(server, "u1", NOW - HOUR)
    answer = score(scored, session_id="s1")
    served = scored.ok(
        "/v1/features",
        {"feature_service": "intent_v1", "entities": {"user_id": ["u1"], "session_id": ["s1"]}},
    )
    row = release.rows.row([result["values"][0] for result in served["results"]])
    assert answer["behavior"] == pytest.approx(release.behavior.score(row))
    assert answer["release"] == release.id
    assert (answer["degraded"], answer["as_of"]) == (False, rfc3339(NOW))
    assert answer["features"] == {"missing": [], "stale": [], "newest_event_age_ms": 0}
    assert answer["stage"]["name"] == max(answer["stage"]["probabilities"].items(), key=lambda p: p[1])[0]
    assert sum(answer["stage"]["probabilities"].values()) == pytest.approx(1)
    assert answer["reasons"] == [] and answer["utterance"] is None


def test_stage_follows_the_steps_and_what_is_typed(scored, release):
    told = (("e1", "view", "a"), ("e2", "add_to_cart", "a"), ("e3", "checkout", None))
    scored.post_events(
        *(
            event(n, kind, NOW - MINUTE + i, session_id="s1", **({"item_id": item} if item else {}))
            for i, (n, kind, item) in enumerate(told)
        )
    )
    steps = [step_of(NOW - MINUTE + i, kind, item) for i, (_, kind, item) in enumerate(told)]
    expected = release.stage.probabilities(steps, {})
    answer = score(scored, session_id="s1")["stage"]
    assert answer == {"name": "decide", "probabilities": pytest.approx(expected)}
    asked = score(scored, session_id="s1", query="price")["stage"]["probabilities"]
    typed = dict(
        zip(
            release.utterance.intents,
            release.utterance.predict(release.encoder.embed(["price"]))[0].tolist(),
            strict=True,
        )
    )
    assert asked == pytest.approx(release.stage.probabilities(steps, {}, typed))


def test_session_is_the_current_one_unless_named(scored, blocking, settings):
    scored.post_events(event("e1", "add_to_cart", session_id="s1", price=5))
    assert score(scored)["behavior"] == score(scored, session_id="s1")["behavior"]
    score(scored, session_id="s2")
    carts = REFERENCES.index("session_activity:session_add_to_cart_count")
    seen = [(r.session_id, r.values[carts]) for r in log_of(scored, blocking, settings)]
    assert seen == [("s1", 1), ("s1", 1), ("s2", 0)]


def test_unknown_shopper_is_scored_from_priors(scored, release):
    answer = score(scored, "nobody", explain=True)
    assert answer["behavior"] == pytest.approx(release.behavior.priors())
    assert answer["degraded"] and answer["features"]["missing"] == REFERENCES
    assert answer["features"]["newest_event_age_ms"] is None
    assert answer["reasons"] == []


def test_missing_text_degrades_and_is_named(scored, server):
    scored.post_events(event("e1", event_time=NOW - 1_500))
    write_user_profile(server, "u1", NOW - HOUR)
    answer = score(scored)
    assert answer["degraded"]
    assert answer["features"] == {"missing": [VECTOR], "stale": [], "newest_event_age_ms": 1}


def test_a_null_of_a_known_shopper_is_an_answer_and_not_missing(scored, server):
    """Who never bought has no days since the last purchase."""
    scored.post_events(event("e1", event_time=NOW - 1_500))
    write_user_profile(server, "u1", NOW - HOUR, recency_days=None)
    write_embedding(server, "u1", PRICE, NOW - HOUR, REVISION)
    answer = score(scored)
    assert not answer["degraded"] and answer["features"]["missing"] == []


def test_vector_of_another_encoder_is_as_good_as_missing(scored, server):
    scored.post_events(event("e1"))
    write_user_profile(server, "u1", NOW - HOUR)
    before = score(scored)
    write_embedding(server, "u1", PRICE, NOW, "another")
    answer = score(scored)
    assert answer["features"]["missing"] == [VECTOR]
    assert answer["behavior"] == before["behavior"]


def test_stale_inputs_count_as_their_defaults_and_are_named(scored, server):
    scored.post_events(event("e1", session_id="s1", event_time=NOW - 2 * DAY))
    without = score(scored)
    write_embedding(server, "u1", PRICE, NOW - 31 * DAY, REVISION)
    answer = score(scored, session_id="s1")
    assert answer["degraded"]
    assert answer["features"]["stale"] == [
        f.reference for f in SERVICE_FEATURES if f.view == "session_activity"
    ] + [VECTOR]
    assert answer["behavior"] == without["behavior"]


def test_utterance_is_ranked_and_only_there_for_text(scored):
    utterance = score(scored, query="Price of  SHOE")["utterance"]
    ranked = [utterance, *utterance["alternatives"]]
    assert [r["confidence"] for r in ranked] == sorted((r["confidence"] for r in ranked), reverse=True)
    assert sum(r["confidence"] for r in ranked) == pytest.approx(1, abs=1e-5)
    assert score(scored, query="  ")["utterance"] is None


def test_reasons_are_given_when_asked_for(scored, server):
    scored.post_events(event("e1", "add_to_cart", session_id="s1", price=1999))
    reasons = score(scored, explain=True)["reasons"]
    assert reasons and {r["target"] for r in reasons} <= set(TARGETS)
    assert [abs(r["effect"]) for r in reasons] == sorted((abs(r["effect"]) for r in reasons), reverse=True)


def test_score_before_the_newest_event_is_marked(scored):
    scored.post_events(event("e1"))
    assert score(scored)["as_of_exact"]
    assert not score(scored, as_of=rfc3339(NOW - HOUR))["as_of_exact"]


def test_score_log_has_the_input_vector_exactly(scored, blocking, settings, server):
    scored.post_events(
        event("e1", "purchase", price=10**10, quantity=9_999, session_id="s1"),
        event("e2", event_time=NOW - 1, session_id="s1"),
    )
    vector = np.random.default_rng(1).normal(size=384).astype(np.float32).tolist()
    write_embedding(server, "u1", vector, NOW - 31 * DAY, REVISION)
    answer = score(scored, scenario="search", query="price")
    (record,) = log_of(scored, blocking, settings)
    assert (record.score_id, record.as_of, record.session_id) == (answer["score_id"], NOW, "s1")
    assert (record.definitions_hash, record.release) == (DEFINITIONS_HASH, answer["release"])
    assert (record.live_epoch, record.live_seq, record.covered_epoch) == (1, 2, None)
    assert (record.ledger_shard, record.ledger_epoch, record.ledger_seq) == (keys.shard_of("u1", 4), 1, 2)
    assert (record.session_epoch, record.session_seq, record.scored_at) == (1, 2, NOW)
    inputs = dict(zip(record.features, zip(record.values, record.used, strict=True), strict=True))
    assert inputs["user_activity:purchase_amount_30d"] == (10**10 * 9_999, True)
    assert inputs["session_activity:session_duration_s"] == (1e-6, True)
    packed, used = inputs[VECTOR]
    assert unpack_vector(packed) == vector and not used
    assert record.behavior == answer["behavior"]
    assert record.scenario == "search" and record.intent == answer["utterance"]["intent"]
    ledger = BlockingLedger(blocking, settings)
    ((place, _),) = next(ledger.scores())
    assert ledger.trim_scores(place) == 1 and not list(ledger.scores())


def test_no_score_is_logged_where_the_settings_say_so(release, settings, blocking):
    with running(msgspec.structs.replace(settings, score_log=0.0)) as client:
        refresh(client)
        score(client)
        assert log_of(client, blocking, settings) == []


# -- which release ----------------------------------------------------------------------------------


def test_pointer_switches_the_release_while_serving(scored, parts, settings, server, release):
    other = parts.build(settings.state / "releases", day=date(2024, 7, 1))
    encoder = scored.app.state.api.served.current.encoder
    point_to(server, other)
    refresh(scored)
    assert score(scored)["release"] == other.name != release.id
    assert scored.app.state.api.served.current.encoder is encoder  # warm, and of the same revision
    point_to(server, release.path)
    refresh(scored)
    assert score(scored)["release"] == release.id


def test_release_for_other_definitions_is_refused_and_the_old_one_serves_on(
    scored, parts, settings, server, release
):
    other = parts.build(settings.state / "releases", day=date(2024, 7, 1))
    manifest = msgspec.json.decode((other / MANIFEST).read_bytes())
    manifest["definitions_hash"] = "0" * 12
    (other / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    point_to(server, other)
    refresh(scored)
    assert score(scored)["release"] == release.id
    readiness = scored.get("/readyz")
    assert readiness.status_code == 200
    assert "000000000000" in readiness.json()["details"]["release"]


def test_first_score_of_a_process_just_started_waits_for_its_release(release, settings):
    with running(settings) as client:
        assert score(client)["release"] == release.id


def test_ready_once_the_release_is_loaded(release, settings):
    with running(settings) as client:
        deadline = time.monotonic() + 10  # the API follows the pointer by itself
        while (readiness := client.get("/readyz")).status_code != 200:
            assert time.monotonic() < deadline, readiness.text
            time.sleep(0.05)
    assert readiness.json() == {
        "ready": True, "redis": True, "release": release.id, "encoder": True, "details": {},
    }  # fmt: skip
