"""Routes and wiring: what the API is made of, and how an HTTP request reaches it and is answered."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from online_api import metrics, openapi, wire
from online_api.connection import AsyncRedis
from online_api.errors import ApiError, ErrorDetail, ErrorEnvelope, validation_detail
from online_api.feedback import Feedback
from online_api.ingest import Ingest
from online_api.ledger import LedgerError, open_ledger
from online_api.openapi import JSON, Operation
from online_api.releases import ServedRelease
from online_api.retrieval import FeatureService
from online_api.score_log import ScoreLog
from online_api.scoring import Scoring
from online_api.settings import Settings

VERSION = "0.1.0"
OPEN_AGAIN_S = 1.0

T = TypeVar("T")
Clock = Callable[[], int]

logger = logging.getLogger(__name__)

_ERRORS = {400: ErrorEnvelope, 413: ErrorEnvelope, 422: ErrorEnvelope, 503: ErrorEnvelope}
_ASKING = {404: ErrorEnvelope, **_ERRORS}

EVENTS = Operation(
    "post",
    "/v1/events",
    "Keep a batch of events. On 200 they are kept, and the next read sees them; sending one again is safe.",
    wire.EventBatch,
    {200: wire.EventsAnswer, **_ERRORS},
    openapi.EVENTS_EXAMPLE,
)
SCORE = Operation(
    "post",
    "/v1/score",
    "What a shopper is about to do, from everything known of them at an instant.",
    wire.ScoreRequest,
    {200: wire.ScoreAnswer, **_ERRORS},
    openapi.SCORE_EXAMPLE,
)
FEATURES = Operation(
    "post",
    "/v1/features",
    "Features of entities at an instant, fresh to the last event.",
    wire.FeaturesRequest,
    {200: wire.FeaturesAnswer, **_ASKING},
    openapi.FEATURES_EXAMPLE,
)
FEAST = Operation(
    "post",
    "/get-online-features",
    "The same by the contract of Feast's own feature server.",
    wire.FeastRequest,
    {200: wire.FeastAnswer, **_ASKING},
    openapi.FEATURES_EXAMPLE,
)
FEEDBACK = Operation(
    "post",
    "/v1/feedback",
    "Say what a typed text really asked for, one of the served model's intents; the next training learns it.",
    wire.FeedbackRequest,
    {200: wire.FeedbackAnswer, **_ERRORS},
    openapi.FEEDBACK_EXAMPLE,
)
HEALTH = Operation("get", "/healthz", "Whether the process is alive.", None, {200: wire.Health})
READY = Operation(
    "get",
    "/readyz",
    "Whether it can score: Redis answers, a release is loaded, the encoder is warm.",
    None,
    {200: wire.Readiness, 503: wire.Readiness},
)
METRICS = Operation("get", "/metrics", "Counts and times for Prometheus.", None, {200: None})
OPERATIONS = (EVENTS, SCORE, FEATURES, FEAST, FEEDBACK, HEALTH, READY, METRICS)


class Api:
    """The parts of one process of the API. `clock` gives the wall's time in microseconds."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        if settings.redis_url is None:
            raise ValueError("the API needs settings.redis_url: start a server or name one")
        self.settings = settings
        self.clock = clock
        self.redis = AsyncRedis(settings.redis_url)
        self.log = ScoreLog(self.redis)
        self.served = ServedRelease(self.redis, settings.state / "releases", settings.state / "encoders")
        self.ingest = Ingest(self.redis, settings)
        self.features = FeatureService(self.redis, settings)
        self.scoring = Scoring(self.redis, self.served, self.log, settings)
        self.feedback = Feedback(self.redis, self.served, settings)
        self._opened = False

    async def open(self) -> None:
        """Once per process, before its first event: see `open_ledger`."""
        if not self._opened:
            await self.redis.do(open_ledger(self.settings))
            self._opened = True

    async def open_soon(self) -> None:
        while not self._opened:
            with contextlib.suppress(RedisError, OSError, LedgerError):
                await self.open()
            await asyncio.sleep(OPEN_AGAIN_S)

    async def post_events(self, body: bytes) -> wire.EventsAnswer:
        await self.open()
        return await self.ingest.post(body, self.clock())

    async def readiness(self) -> wire.Readiness:
        details = {}
        try:
            await self.redis.run([("PING",)])
            await self.open()
        except (RedisError, OSError, LedgerError) as error:
            details["redis"] = str(error)
        current = self.served.current
        if self.served.problem:
            details["release"] = self.served.problem
        if current is None:
            details["encoder"] = "it comes with a release"
        ready = current is not None and "redis" not in details
        name = None if current is None else current.id
        return wire.Readiness(ready, "redis" not in details, name, current is not None, details)


def create_app(settings: Settings, clock: Clock = lambda: time.time_ns() // 1_000) -> Starlette:
    """The ASGI application. Nothing is connected or loaded before its lifespan begins."""
    api = Api(settings, clock)
    described = openapi.document(OPERATIONS, VERSION)
    document, page = msgspec.json.encode(described), openapi.page(described).encode()

    async def events(request: Request) -> Response:
        return _json(await api.post_events(await read_body(request)))

    async def score(request: Request) -> Response:
        wanted = decoded(await read_body(request), _score_decoder)
        return _json(await api.scoring.score(wanted, api.clock()))

    async def features(request: Request) -> Response:
        wanted = decoded(await read_body(request), _features_decoder)
        return _json(await api.features.features(wanted, api.clock()))

    async def feast(request: Request) -> Response:
        wanted = decoded(await read_body(request), _feast_decoder)
        return _json(await api.features.feast(wanted, api.clock()))

    async def feedback(request: Request) -> Response:
        wanted = decoded(await read_body(request), _feedback_decoder)
        return _json(await api.feedback.post(wanted, api.clock()))

    async def health(request: Request) -> Response:
        return _json(wire.Health("ok"))

    async def ready(request: Request) -> Response:
        readiness = await api.readiness()
        return _json(readiness, 200 if readiness.ready else 503)

    async def metric_values(request: Request) -> Response:
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)

    async def openapi_document(request: Request) -> Response:
        return Response(document, media_type=JSON)

    async def docs(request: Request) -> Response:
        return Response(page, media_type="text/html")

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        logging_scores = asyncio.create_task(api.log.run())
        endless = [asyncio.create_task(work) for work in (api.open_soon(), api.served.follow())]
        try:
            yield
        finally:
            for task in endless:
                task.cancel()
            api.log.close()
            await asyncio.gather(logging_scores, *endless, return_exceptions=True)
            await api.redis.close()

    endpoints = (events, score, features, feast, feedback, health, ready, metric_values)
    routes = [
        Route(o.path, answered(o.path, endpoint), methods=[o.method.upper()])
        for o, endpoint in zip(OPERATIONS, endpoints, strict=True)
    ]
    routes += [Route("/openapi.json", openapi_document), Route("/docs", docs)]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: not_routed})
    app.state.api = api
    return app


def answered(
    path: str, endpoint: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint with its errors turned into answers, counted and timed."""
    seconds = metrics.LATENCY.labels(path)

    async def answer(request: Request) -> Response:
        started = time.perf_counter()
        try:
            response = await endpoint(request)
        except Exception as error:
            response = error_response(error)
        seconds.observe(time.perf_counter() - started)
        metrics.REQUESTS.labels(path, str(response.status_code)).inc()
        return response

    return answer


def error_response(error: Exception) -> Response:
    """The one place where an error becomes an answer."""
    if isinstance(error, ApiError):
        return _json(ErrorEnvelope(error.detail), error.status, error.headers)
    if isinstance(error, RedisError | OSError):
        logger.warning("Redis did not answer: %s", error)
        message = f"Redis did not do what was asked; send the same request again. ({error})"
        return _json(ErrorEnvelope(ErrorDetail("redis_unavailable", message)), 503, {"Retry-After": "1"})
    if isinstance(error, LedgerError):
        return _json(ErrorEnvelope(ErrorDetail("ledger_mismatch", str(error))), 503)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    logger.error("a request failed", exc_info=error)
    message = "this is a defect of the service; its log has the details"
    return _json(ErrorEnvelope(ErrorDetail("internal", message)), 500)


async def not_routed(request: Request, error: HTTPException) -> Response:
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    message = f"{request.method} {request.url.path}: {error.detail}; /docs lists what there is"
    metrics.REQUESTS.labels("other", str(error.status_code)).inc()
    return _json(ErrorEnvelope(ErrorDetail(code, message)), error.status_code, error.headers)


async def read_body(request: Request) -> bytes:
    """The whole body, refused before it is larger than MAX_BODY_BYTES."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > wire.MAX_BODY_BYTES:
            message = f"the body is larger than {wire.MAX_BODY_BYTES} bytes; send smaller batches"
            raise ApiError(413, "body_too_large", message)
        parts.append(part)
    return b"".join(parts)


_score_decoder = msgspec.json.Decoder(wire.ScoreRequest)
_features_decoder = msgspec.json.Decoder(wire.FeaturesRequest)
_feast_decoder = msgspec.json.Decoder(wire.FeastRequest)
_feedback_decoder = msgspec.json.Decoder(wire.FeedbackRequest)


def decoded(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        detail = validation_detail(error)
        raise ApiError(422, detail.code, detail.message, detail.field) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, "malformed_json", str(error)) from error


def _json(answer: msgspec.Struct, status: int = 200, headers: dict | None = None) -> Response:
    return Response(msgspec.json.encode(answer), status, headers, JSON)
