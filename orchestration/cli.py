"""The `intent` command: parses, calls, prints. A subcommand imports only what it needs."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

from orchestration.environment import confine

confine()

import msgspec  # noqa: E402
import typer  # noqa: E402

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Shopper intent, from log to score.",
)
release_app = typer.Typer(no_args_is_help=True, help="What is served: list, promote, roll back.")
app.add_typer(release_app, name="release")


def main() -> None:
    """Every refusal ends here as one line on standard error and exit status 1."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("INTENT_TRACEBACK"):
            raise
        line = " ".join(str(error).split()) or type(error).__name__
        print(f"intent: {line}", file=sys.stderr)
        sys.exit(1)


@app.command()
def simulate(
    users: Annotated[int | None, typer.Option(min=1, help="how many shoppers; default: 300")] = None,
    days: Annotated[int, typer.Option(min=1)] = 3,
    seed: int = 7,
    out: Annotated[Path, typer.Option(help="a folder; events.jsonl and the ground truth go there")] = Path(
        "simulated"
    ),
    events: Annotated[
        int | None, typer.Option(min=1, help="in place of --users: about so many events in all")
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="default: one a core")] = None,
) -> None:
    """Write a bilingual event log with known ground truth."""
    from rich.console import Console
    from rich.progress import Progress

    from spark_jobs.simulation import simulate as write_log
    from spark_jobs.simulation import users_for

    if users and events:
        raise typer.BadParameter("give --users or --events, not both")
    users = users_for(events, days) if events else users or 300
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("simulating")

        def progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        summary = write_log(users, days, seed, out, processes=processes, progress=progress)
    _print_json(summary)


@app.command("import")
def import_(
    path: Path,
    format: Annotated[
        str,
        typer.Option(
            help="auto, native, rees46, retailrocket, taobao, yoochoose, otto, ubi or access_log",
            metavar="FORMAT",
        ),
    ] = "auto",
    rules: Annotated[
        Path | None,
        typer.Option(
            help="a TOML file: which request of an access log is which event", exists=True, dir_okay=False
        ),
    ] = None,
) -> None:
    """Land a log in the lake; ends with one JSON object."""
    from orchestration.importing import import_log
    from orchestration.progress import bytes_bar

    with _results_only() as result, bytes_bar(path) as progress:
        result.append(import_log(path, format, progress, rules and rules.read_text("utf-8")))


@app.command()
def materialize(
    from_: Annotated[str | None, typer.Option("--from", metavar="DAY", help="first day, YYYY-MM-DD")] = None,
    to: Annotated[str | None, typer.Option(metavar="DAY", help="last day, included")] = None,
) -> None:
    """Run Dagster's assets for these days; without days, for those with events not yet materialized."""
    from orchestration.workflows import materialize_days

    with _results_only() as result:
        result.append(materialize_days(from_, to))


@app.command()
def serve(host: str | None = None, port: int | None = None, workers: int | None = None) -> None:
    """Run the online API."""
    from online_api.server import serve as run_server
    from online_api.settings import Settings
    from spark_jobs.lake import Lake

    settings = Settings.from_environment()
    run_server(
        settings,
        host or settings.host,
        port or settings.port,
        workers or settings.workers,
        landed_epoch=Lake(settings.lake).landed_epoch(),
    )


@app.command()
def replay(
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="RFC 3339 or a day")] = None,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339 or a day, excluded")] = None,
    speed: Annotated[float, typer.Option(help="times real time; 0: as fast as it goes")] = 0,
    url: Annotated[str | None, typer.Option(help="the API; default: where `intent serve` listens")] = None,
) -> None:
    """Play the lake's events into a running API, as a client."""
    from online_api.settings import Settings
    from orchestration.replay import replay as play
    from spark_jobs.lake import Lake

    settings = Settings.from_environment()
    _print_json(play(Lake(settings.lake), url or settings.own_api_url, from_, to, speed))


@app.command()
def verify(
    scores: Annotated[int, typer.Option(min=1, help="how many of the newest logged scores")] = 1000,
    feast: Annotated[
        bool, typer.Option("--feast", help="through Feast's historical retrieval, once all is materialized")
    ] = False,
) -> None:
    """Recompute what was served from the lake's events and tables; exit 1 if any feature differs."""
    if feast:
        from orchestration.feast_verification import verify_scores
    else:
        from orchestration.verification import verify_scores

    with _results_only() as result:
        result.append(verify_scores(scores))
    if result[0].mismatches:
        sys.exit(1)


@release_app.command("list")
def release_list() -> None:
    """Every release built here, and which is served."""
    from orchestration.releases import list_all
    from orchestration.resources import Platform

    _print_json(list_all(Platform.from_environment()))


@release_app.command("promote")
def release_promote(release_id: str) -> None:
    """Serve this release from now on."""
    from orchestration.releases import promote
    from orchestration.resources import Platform

    _print_json(promote(Platform.from_environment(), release_id))


@release_app.command("rollback")
def release_rollback() -> None:
    """Serve again what was served before."""
    from orchestration.releases import rollback
    from orchestration.resources import Platform

    _print_json(rollback(Platform.from_environment()))


def _print_json(result: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _results_only():
    """Standard output carries the result alone; whatever libraries print, and the JVM and other processes
    that they start, goes to standard error."""
    result: list = []
    sys.stdout.flush()
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield result
    finally:
        os.dup2(answers, 1)
        os.close(answers)
    _print_json(result[0])


if __name__ == "__main__":
    main()
