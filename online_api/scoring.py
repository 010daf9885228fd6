"""A score: one shopper's inputs at an instant, judged by the release that is served."""

import asyncio
import random
import uuid
from typing import NamedTuple

from feature_repo.behavior import SERVICE_FEATURES
from feature_repo.events import rfc3339
from models.runtime.release import Release
from models.runtime.row import FeatureRow
from models.runtime.text import normalize_text
from online_api import metrics
from online_api.catalogue import EMBEDDING, REVISION, VIEWS, Plan, plan
from online_api.connection import AsyncRedis
from online_api.features import (
    NOT_FOUND,
    OUTSIDE_MAX_AGE,
    PRESENT,
    Entity,
    Resolved,
    Row,
    resolve,
)
from online_api.releases import ServedRelease
from online_api.retrieval import instant
from online_api.score_log import ScoreLog, ScoreRecord, pack_vector
from online_api.settings import Settings
from online_api.wire import (
    Behavior,
    Inputs,
    Intent,
    ReasonAnswer,
    ScoreAnswer,
    ScoreRequest,
    Stage,
    Utterance,
)

TOP_REASONS = 5
ALTERNATIVES = 3

INTENT_VIEW = "user_intent_embedding"
_REVISION_AT = VIEWS[INTENT_VIEW].features.index(REVISION)
_EMBEDDING_AT = VIEWS[INTENT_VIEW].features.index(EMBEDDING)


class ModelInputs(NamedTuple):
    """By column of the plan: the stored or counted value, and whether the model may read it."""

    values: list
    used: list[bool]
    missing: list[str]
    stale: list[str]

    def read(self) -> list:
        """What the model is given; None stands for the declared default."""
        return [v if used else None for v, used in zip(self.values, self.used, strict=True)]


class Scoring:
    def __init__(self, redis: AsyncRedis, served: ServedRelease, log: ScoreLog, settings: Settings) -> None:
        self._redis = redis
        self._served = served
        self._log = log
        self._settings = settings

    async def score(self, request: ScoreRequest, now: int) -> ScoreAnswer:
        release = await self._served.require()
        inputs_plan = plan(release.features)
        entity = Entity(user_id=request.user_id, session_id=request.session_id)
        as_of = instant(request.as_of)
        steps = resolve(inputs_plan, [entity], as_of, now, self._settings, with_position=True)
        resolved, typed = await asyncio.gather(self._redis.do(steps), typed_intents(release, request.query))
        (row,) = resolved.rows
        inputs = model_inputs(inputs_plan, row, release)
        feature_row = release.rows.row(inputs.read())
        known = is_known(row)
        behavior = release.behavior.score(feature_row) if known else release.behavior.priors()
        stages = release.stage.probabilities(
            row.session.steps if row.session else (),
            feature_row.values,
            typed,
            release.rows.recent_text(feature_row),
        )
        reasons = await reasons_of(release, feature_row) if request.explain and known else []
        newest = row.shopper.newest if row.shopper else None
        age_ms = None if newest is None else max(0, resolved.as_of - newest) // 1_000
        answer = ScoreAnswer(
            score_id=uuid.uuid4().hex,
            as_of=rfc3339(resolved.as_of),
            as_of_exact=row.exact,
            release=release.id,
            behavior=Behavior(**behavior),
            stage=Stage(max(stages, key=stages.__getitem__), stages),
            utterance=utterance_of(typed),
            features=Inputs(inputs.missing, inputs.stale, age_ms),
            degraded=bool(inputs.missing or inputs.stale),
            reasons=reasons,
        )
        self._observe(answer)
        if random.random() < self._settings.score_log:
            self._log.add(_record(request, release, resolved, inputs, answer, now))
        return answer

    def _observe(self, answer: ScoreAnswer) -> None:
        metrics.SCORES.labels(str(answer.degraded).lower()).inc()
        absent = (("missing", answer.features.missing), ("stale", answer.features.stale))
        for reason, references in absent:
            for view in {reference.partition(":")[0] for reference in references}:
                metrics.FEATURES_MISSING.labels(view, reason).inc()


def is_known(row: Row) -> bool:
    """Whether anything at all is known of the shopper, be it old."""
    return bool(
        (row.shopper and row.shopper.known)
        or (row.session and row.session.state)
        or row.views[INTENT_VIEW].statuses[_EMBEDDING_AT] != NOT_FOUND
    )


def model_inputs(inputs_plan: Plan, row: Row, release: Release) -> ModelInputs:
    """A vector of another encoder's is as good as missing; of an unknown shopper everything is."""
    statuses = {name: list(view.statuses) for name, view in row.views.items()}
    text = row.views[INTENT_VIEW]
    if text.values[_REVISION_AT] != release.encoder_revision:
        statuses[INTENT_VIEW][_EMBEDDING_AT] = NOT_FOUND
    nothing_known = not is_known(row)
    values, used, missing, stale = [], [], [], []
    for column in inputs_plan.columns:
        status = statuses[column.view.name][column.position]
        if nothing_known:
            status = NOT_FOUND
        values.append(row.views[column.view.name].values[column.position])
        used.append(status == PRESENT)
        if status == OUTSIDE_MAX_AGE:
            stale.append(column.reference)
        elif status == NOT_FOUND:  # a null is an answer: this shopper never bought
            missing.append(column.reference)
    return ModelInputs(values, used, missing, stale)


async def typed_intents(release: Release, text: str | None) -> dict[str, float] | None:
    """The probability of each intent; None where nothing was typed. The encoder works beside the event
    loop, not in it."""
    if text is None or not normalize_text(text):
        return None
    probabilities = await asyncio.to_thread(_intents, release, text)
    return dict(zip(release.utterance.intents, probabilities, strict=True))


def utterance_of(typed: dict[str, float] | None) -> Utterance | None:
    if typed is None:
        return None
    (intent, confidence), *others = sorted(typed.items(), key=lambda pair: -pair[1])
    return Utterance(intent, confidence, [Intent(*other) for other in others[:ALTERNATIVES]])


def _intents(release: Release, text: str) -> list[float]:
    return release.utterance.predict(release.encoder.embed([text]))[0].tolist()


async def reasons_of(release: Release, row: FeatureRow) -> list[ReasonAnswer]:
    found = await asyncio.to_thread(release.behavior.reasons, row, release.rows, TOP_REASONS)
    return [ReasonAnswer(r.target, r.feature, r.value, r.effect) for r in found]


_IS_VECTOR = {feature.reference: feature.dtype == "vector" for feature in SERVICE_FEATURES}


def _record(
    request: ScoreRequest,
    release: Release,
    resolved: Resolved,
    inputs: ModelInputs,
    answer: ScoreAnswer,
    now: int,
) -> ScoreRecord:
    (row,) = resolved.rows
    values = [
        pack_vector(value) if value is not None and _IS_VECTOR[reference] else value
        for reference, value in zip(release.features, inputs.values, strict=True)
    ]
    shopper, (known, known_of_session) = row.shopper, row.known
    return ScoreRecord(
        score_id=answer.score_id,
        as_of=resolved.as_of,
        user_id=request.user_id,
        session_id=row.session_id,
        scenario=request.scenario,
        release=release.id,
        definitions_hash=release.definitions_hash,
        encoder_revision=release.encoder_revision,
        features=release.features,
        values=values,
        used=inputs.used,
        covered_epoch=shopper.covered_epoch if shopper else None,
        live_epoch=shopper.live_epoch if shopper else None,
        live_seq=shopper.live_seq if shopper else None,
        as_of_exact=row.exact,
        degraded=answer.degraded,
        behavior={name: getattr(answer.behavior, name) for name in Behavior.__struct_fields__},
        stage=answer.stage.name,
        intent=answer.utterance.intent if answer.utterance else None,
        stage_probabilities=answer.stage.probabilities,
        intent_confidence=answer.utterance.confidence if answer.utterance else None,
        live=request.as_of is None,
        ledger_shard=known.shard,
        ledger_epoch=known.epoch,
        ledger_seq=known.seq,
        session_epoch=known_of_session.epoch,
        session_seq=known_of_session.seq,
        scored_at=now,
    )
