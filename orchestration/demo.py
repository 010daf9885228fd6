"""`make demo`: a log in, scored shoppers out, and a report for people.

Everything runs as a user would run it: the `intent` command, the API as a process of its own.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from orchestration.environment import ROOT, confine

SIMULATED_USERS, SIMULATED_DAYS, SIMULATED_SEED = 500, 3, 7
SHOPPERS_SHOWN = 4
READY_WITHIN_S = 60
API_PORT, UI_PORT = 8000, 3000
TYPED = {"en": "where is my parcel", "zh": "这款蓝牙耳机有货吗"}


def main() -> None:
    data = os.environ.get("DATA") or ""
    serve = os.environ.get("SERVE") != "0"
    log = Path(data).expanduser().absolute() if data else None
    name = re.sub(r"[^A-Za-z0-9-]+", "-", log.stem).strip("-") if log else "simulated"
    os.environ["INTENT_STATE"] = str(ROOT / ".state" / "demo" / name)
    # A log is played back: time is the newest event in it, not the clock on the wall.
    os.environ.setdefault("INTENT_CLOCK", "event")
    confine()
    try:
        run(log, serve)
    except subprocess.CalledProcessError as error:
        sys.exit(f"make demo: `{' '.join(map(str, error.cmd[-2:]))}` did not succeed; its line is above")
    except KeyboardInterrupt:
        sys.exit(130)


def run(log: Path | None, serve: bool) -> None:
    from orchestration import report

    if log is None:
        log = simulated_log()
        os.environ.setdefault("INTENT_CATALOGUE", str(log.with_name("catalogue.csv")))
    report.step(f"importing {log}")
    imported = intent("import", str(log))
    report.step("materializing: Dagster runs Spark, Great Expectations, Feast and the models (minutes)")
    materialized = intent("materialize")
    port = port_near(API_PORT)
    report.step("starting the online API")
    with online_api(port) as url:
        scores = report.score_some(url, TYPED, SHOPPERS_SHOWN)
        report.show(imported, materialized, scores)
        if not serve:
            report.show_commands()
            return
        ui_port = port_near(UI_PORT)
        with dagster_ui(ui_port):
            report.show_places(url, f"http://127.0.0.1:{ui_port}")
            signal.pause()


def simulated_log() -> Path:
    folder = Path(os.environ["INTENT_STATE"]) / "log"
    if not (folder / "events.jsonl").exists():
        options = {"--users": SIMULATED_USERS, "--days": SIMULATED_DAYS, "--seed": SIMULATED_SEED}
        intent("simulate", *(str(x) for pair in options.items() for x in pair), "--out", str(folder))
    return folder / "events.jsonl"


def intent(*arguments: str) -> dict:
    """Run the command; its progress goes on to standard error, its JSON comes back."""
    command = [sys.executable, "-m", "orchestration.cli", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return json.loads(done.stdout)


@contextmanager
def online_api(port: int):
    url = f"http://127.0.0.1:{port}"
    with process("orchestration.cli", "serve", "--port", str(port)) as api:
        wait_until_ready(api, url)
        yield url


@contextmanager
def dagster_ui(port: int):
    with process("dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "-p", str(port)) as ui:
        yield ui


@contextmanager
def process(module: str, *arguments: str):
    log_path = Path(os.environ["INTENT_STATE"]) / f"{module.split('.')[-1]}.log"
    with log_path.open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        # the whole group: `dagster dev` has a server and a daemon below it
        os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)


def wait_until_ready(api: subprocess.Popen, url: str) -> None:
    import httpx

    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if api.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    sys.exit(f"make demo: the API did not become ready; see {os.environ['INTENT_STATE']}/cli.log")


def port_near(preferred: int) -> int:
    """The preferred port, or another where it is taken."""
    import socket

    from online_api.redis_server import free_port

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
    return preferred


if __name__ == "__main__":
    main()
