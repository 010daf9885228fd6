"""The API as processes: Granian, with as many workers as the settings say, each its own event loop."""

import logging
import multiprocessing
import os
import shutil
import threading
from pathlib import Path

import msgspec
from granian import Granian
from granian.constants import Interfaces, Loops
from redis.exceptions import RedisError

from online_api.connection import BlockingRedis
from online_api.ledger import LedgerError
from online_api.redis_server import RedisUnavailable, ensure_redis, keep_flushed
from online_api.settings import Settings

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"


class ServeError(RuntimeError):
    """The API cannot start; the message says why and how to mend it."""


def serve(settings: Settings, host: str, port: int, workers: int, landed_epoch: int = 0) -> None:
    """Blocks until the server is told to stop. Raises ServeError before it listens, if it cannot.

    `landed_epoch` is the lake's newest: should Redis have lost its data, epochs go on above it.
    """
    settings = msgspec.structs.replace(
        settings,
        redis_url=settings.redis_url or _embedded(settings),
        host=host,
        port=port,
        workers=workers,
    )
    if workers > 1:
        os.environ[MULTIPROCESS_DIR] = str(_empty(settings.state / "metrics"))
    _check_ledger(settings, landed_epoch)
    os.environ.update(settings.environment())  # how the workers come by them
    Granian(
        "online_api.server:app",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        workers=workers,
        factory=True,
        log_access=False,
        respawn_failed_workers=True,
        websockets=False,
    ).serve()


def app():
    """What a worker runs: the application for the settings in its environment."""
    from online_api.app import create_app

    _live_as_long_as_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return create_app(Settings.from_environment(os.environ))


def _live_as_long_as_parent() -> None:
    """Workers of a server that was killed would go on answering, by their settings, beside the next one."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _embedded(settings: Settings) -> str:
    try:
        url = ensure_redis(settings.state)
    except RedisUnavailable as error:
        raise ServeError(str(error)) from error
    keep_flushed(settings.state)
    return url


def _check_ledger(settings: Settings, landed_epoch: int) -> None:
    from online_api.epochs import BlockingLedger  # loads the metrics, which look for MULTIPROCESS_DIR

    redis = BlockingRedis(settings.redis_url)
    try:
        BlockingLedger(redis, settings).start_after(landed_epoch)
    except LedgerError as error:
        raise ServeError(str(error)) from error
    except (RedisError, OSError) as error:
        raise ServeError(
            f"Redis at {settings.redis_url} does not answer ({error}): start it, or set INTENT_REDIS_URL"
        ) from error
    finally:
        redis.close()


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
