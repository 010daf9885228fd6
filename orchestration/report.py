"""What the demo says to people: counts, figures with whose data they are, scores with reasons, places."""

import os
from collections.abc import Mapping

import httpx
import msgspec
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from models.behavior.report import BehaviorReport
from models.utterance.evaluation import utterance_lines
from orchestration.resources import Platform
from spark_jobs.lake import Lake

out = Console(highlight=False, width=110)
progress = Console(stderr=True, highlight=False)


def step(what: str) -> None:
    progress.print(f"[bold]▸ {what}")


def score_some(url: str, typed: Mapping[str, str], count: int) -> list[tuple[str, dict]]:
    """Scores of a few telling shoppers, one of them unknown, the first ones with something just typed."""
    texts = [*typed.values()]
    shoppers = telling_shoppers(Platform.from_environment().lake, count)
    scored = []
    for position, (user_id, what) in enumerate([*shoppers.items(), ("nobody-yet", "never seen before")]):
        body = {"user_id": user_id, "explain": True}
        if position < len(texts):
            body["query"] = texts[position]
            what = f"{what}, typing “{texts[position]}”"
        answer = httpx.post(f"{url}/v1/score", json=body, timeout=30)
        answer.raise_for_status()
        scored.append((f"{user_id} ({what})", answer.json()))
    return scored


def telling_shoppers(lake: Lake, count: int) -> dict[str, str]:
    """Of the newest day's shoppers: the latest to fill a cart, to buy, to search or write, and to view."""
    newest_day = max(lake.ledger_days())
    events = pq.read_table(
        lake.ledger_files([newest_day]), columns=["user_id", "event_type", "event_time"]
    ).sort_by([("event_time", "descending")])
    chosen: dict[str, str] = {}
    for wanted in ("add_to_cart", "purchase", "message", "search", "view"):
        pairs = zip(events["user_id"].to_pylist(), events["event_type"].to_pylist(), strict=True)
        user = next((u for u, kind in pairs if kind == wanted and u not in chosen), None)
        if user and len(chosen) < count:
            chosen[user] = f"latest event of the kind {wanted}"
    return chosen


def show(imported: dict, materialized: dict, scores: list[tuple[str, dict]]) -> None:
    platform = Platform.from_environment()
    out.rule("The log")
    quarantined = imported["quarantined"]
    why = ", ".join(f"{code} {n}" for code, n in quarantined.items())
    out.print(
        f"{imported['read']:,} rows read as {imported['format']}: {imported['accepted']:,} accepted, "
        f"{imported['duplicates']:,} duplicate, {sum(quarantined.values()):,} quarantined"
        + (f" ({why}; see {imported['quarantine_file']})" if quarantined else "")
    )
    out.print(f"the lake's days: {', '.join(platform.lake.ledger_days())}")
    out.rule("Materialized")
    days = materialized["days"]
    out.print(f"this run: {f'{days[0]} to {days[-1]}' if days else 'nothing new'}; in the tables now:")
    for table, rows in materialized["rows"].items():
        out.print(f"  {table:<24}{rows:>10,} rows")
    show_models(platform)
    out.rule("A few shoppers")
    for who, score in scores:
        show_score(who, score)


def show_models(platform: Platform) -> None:
    from models.release_report import FOLDER, PAGE
    from orchestration import releases

    out.rule("How good the models are")
    served = releases.served(platform)
    manifest = msgspec.json.decode((platform.releases / served.id / "release.json").read_bytes())
    report = msgspec.convert(manifest["metrics"]["behavior"], BehaviorReport)
    out.print(f"release {served.id}; session behaviour on later, unseen sessions (95 % intervals):")
    for line in report.lines():
        out.print(f"  {line}", soft_wrap=True, markup=False)
    out.print("utterance intents:")
    for line in utterance_lines(manifest["metrics"]["utterance"]):
        out.print(f"  {line}", soft_wrap=True, markup=False)
    page = platform.releases / served.id / FOLDER / PAGE
    out.print(f"curves, confusion matrices, figures after 1, 3, 5 and 10 events: {page}", soft_wrap=True)


def show_score(who: str, score: dict) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    behavior = ", ".join(f"{name} {p:.1%}" for name, p in score["behavior"].items())
    table.add_row("  behaviour", behavior)
    table.add_row("  stage", f"{score['stage']['name']} (inferred)")
    if utterance := score["utterance"]:
        table.add_row("  asks for", f"{utterance['intent']} ({utterance['confidence']:.0%} sure)")
    for reason in score["reasons"][:3]:
        table.add_row(
            "  because",
            f"{reason['feature']} is {reason['value']}: {reason['target']} {reason['effect']:+.1%}",
        )
    if score["degraded"]:
        lacking = [*score["features"]["missing"], *score["features"]["stale"]]
        shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
        table.add_row("  degraded", f"lacks {shown}")
    out.print(who, markup=False)
    out.print(table)


def show_places(url: str, ui: str) -> None:
    out.rule("Running now (Ctrl-C ends it)")
    out.print(f"  API        {url}\n  API docs   {url}/docs\n  Dagster    {ui}")


def show_commands() -> None:
    out.rule("Go on from here")
    out.print(f"  export INTENT_STATE={os.environ['INTENT_STATE']} INTENT_CLOCK=event", soft_wrap=True)
    out.print("  .venv/bin/intent serve      the API on http://127.0.0.1:8000, its docs on /docs")
    out.print("  make ui                     Dagster on http://127.0.0.1:3000")
