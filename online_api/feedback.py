"""Corrections of utterance intents: what a text really asked for, said by who knows.

A correction is kept in the stream `intent:{feedback}:log` until it lands in the lake, where the next
training of the utterance model finds it. It is known by its `feedback_id`: the first one with an id wins.
"""

import msgspec

from models.runtime.text import normalize_text
from online_api import keys
from online_api.connection import AsyncRedis
from online_api.errors import ApiError
from online_api.releases import ServedRelease
from online_api.scripts import APPEND_FEEDBACK
from online_api.settings import Settings
from online_api.wire import FeedbackAnswer, FeedbackRequest


class FeedbackRecord(msgspec.Struct, array_like=True, frozen=True):
    """An accepted correction. Append fields, never reorder them: they are the wire order of the stream.

    `received_at` in microseconds; `release`: what was served, whose intents `intent` is one of.
    """

    feedback_id: str
    received_at: int
    text: str
    intent: str
    source: str
    user_id: str | None
    score_id: str | None
    release: str


_decoder = msgspec.msgpack.Decoder(FeedbackRecord)


def decode_feedback(fields: dict[bytes, bytes]) -> FeedbackRecord:
    return _decoder.decode(fields[b"e"])


class Feedback:
    def __init__(self, redis: AsyncRedis, served: ServedRelease, settings: Settings) -> None:
        self._redis = redis
        self._served = served
        self._settings = settings

    async def post(self, request: FeedbackRequest, now: int) -> FeedbackAnswer:
        """Kept when this returns. An intent is one that the served utterance model knows: a shop's own
        list replaces the declared one, so that only the model can say which there are."""
        release = await self._served.require()
        if request.intent not in release.utterance.intents:
            known = ", ".join(release.utterance.intents)
            message = f"intent is not one that release {release.id} knows: {known}"
            raise ApiError(422, "unknown_intent", message, "intent")
        if not normalize_text(request.text):
            raise ApiError(422, "invalid", "text has nothing to read in it", "text")
        record = FeedbackRecord(
            feedback_id=request.feedback_id,
            received_at=now,
            text=request.text,
            intent=request.intent,
            source=request.source,
            user_id=request.user_id,
            score_id=request.score_id,
            release=release.id,
        )
        now_ms = now // 1_000
        oldest_ms = now_ms - self._settings.id_memory_s * 1_000
        arguments = (
            keys.FEEDBACK_IDS,
            request.feedback_id,
            now_ms,
            oldest_ms,
            msgspec.msgpack.encode(record),
        )
        (accepted,) = await self._redis.run([APPEND_FEEDBACK(keys.FEEDBACK, *arguments)])
        return FeedbackAnswer(accepted, 1 - accepted)
