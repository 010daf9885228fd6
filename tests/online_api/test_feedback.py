import msgspec
import pytest

from online_api import keys
from online_api.epochs import BlockingLedger
from online_api.feedback import FeedbackRecord
from tests.online_api.client import running
from tests.online_api.events import DAY, NOW
from tests.online_api.test_scoring import parts, release, scored

__all__ = ["parts", "release", "scored"]

SENT = {"feedback_id": "f1", "text": "shoe came unglued", "intent": "other", "user_id": "u1"}


def kept(blocking, settings) -> list[FeedbackRecord]:
    return [record for chunk in BlockingLedger(blocking, settings).feedback() for _, record in chunk]


def test_a_correction_is_kept_once(scored, release, blocking, settings):
    assert scored.ok("/v1/feedback", SENT) == {"accepted": 1, "duplicates": 0}
    assert scored.ok("/v1/feedback", {**SENT, "intent": "price"}) == {"accepted": 0, "duplicates": 1}
    (record,) = kept(blocking, settings)
    assert record == FeedbackRecord("f1", NOW, SENT["text"], "other", "agent", "u1", None, release.id)
    ledger = BlockingLedger(blocking, settings)
    ((place, _),) = next(ledger.feedback())
    assert ledger.trim_feedback(place) == 1 and not kept(blocking, settings)
    assert scored.ok("/v1/feedback", SENT)["duplicates"] == 1


def test_an_id_is_forgotten_only_after_events_ids_are(scored, settings, server):
    scored.ok("/v1/feedback", SENT)
    scored.now = NOW + settings.id_memory_s * 1_000_000
    assert scored.ok("/v1/feedback", SENT)["duplicates"] == 1
    scored.now += DAY
    scored.ok("/v1/feedback", {**SENT, "feedback_id": "f2"})
    assert server.zrange(keys.FEEDBACK_IDS, 0, -1) == [b"f2"]


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"intent": "dance"}, "unknown_intent", "intent"),
        ({"text": " \u200b "}, "invalid", "text"),
        ({"text": ""}, "invalid", "text"),
        ({"feedback_id": ""}, "invalid", "feedback_id"),
        ({"source": "robot"}, "invalid", "source"),
        ({"mood": "good"}, "unknown_field", "mood"),
    ],
)
def test_a_wrong_correction_is_refused_by_field_and_not_kept(scored, blocking, settings, change, code, field):
    answer = scored.post("/v1/feedback", json={**SENT, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (422, code, field)
    assert kept(blocking, settings) == []


def test_the_intents_are_those_of_what_is_served(scored):
    message = scored.post("/v1/feedback", json={**SENT, "intent": "dance"}).json()["error"]["message"]
    assert all(intent in message for intent in ("search", "price", "other"))


def test_without_a_release_there_is_nothing_to_correct(settings):
    with running(settings) as client:
        answer = client.post("/v1/feedback", json=SENT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_release")


def test_old_and_compact_score_records_are_both_read(scored, blocking, settings, server):
    scored.ok("/v1/score", {"user_id": "u1"})
    scored.portal.call(scored.app.state.api.log.flush)
    ((_, fields),) = server.xrange(keys.SCORES)
    (named,) = (record for chunk in BlockingLedger(blocking, settings).scores() for _, record in chunk)
    assert len(fields[b"e"]) < len(msgspec.msgpack.encode(named)) / 2
    server.xadd(keys.SCORES, {"e": msgspec.msgpack.encode(named)})
    old = msgspec.msgpack.encode(list(msgspec.to_builtins(named))[:19])
    server.xadd(keys.SCORES, {"e": old})
    first, second, third = (r for c in BlockingLedger(blocking, settings).scores() for _, r in c)
    assert first == second
    later = ("ledger_shard", "ledger_epoch", "ledger_seq", "session_epoch", "session_seq", "scored_at")
    unknown = dict.fromkeys(("stage_probabilities", "intent_confidence", *later))
    assert third == msgspec.structs.replace(first, **unknown)
