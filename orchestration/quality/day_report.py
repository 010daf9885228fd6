"""A day's cleaning for people: its numbers, how they stand against the days before, and their trend."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from statistics import median
from typing import NamedTuple

from models.document import Picture, Section, Table
from orchestration.plots import line_chart
from spark_jobs.jobs.quality_days import LATE_AFTER_S, NOWHERE, SOURCES, Metrics, source_metric
from spark_jobs.transforms.cleaning import CATALOGUE, ITEM_HISTORY, UNIT_CORRECTED

TREND_DAYS = 30

# A jump: a share off the median of the days before by these points and this factor; the number of events
# by a larger factor, for weekdays differ. Fewer days before have no median worth the name.
BASELINE_DAYS, MIN_BASELINE_DAYS = 28, 5
JUMP_POINTS, JUMP_FACTOR, VOLUME_FACTOR = 2.0, 2.0, 3.0
RULE = (
    f"no share is {JUMP_POINTS:g} points and {JUMP_FACTOR:g} times over or under its median of the "
    f"{BASELINE_DAYS} days before (of at least {MIN_BASELINE_DAYS}), and a day that is over has no "
    f"{VOLUME_FACTOR:g} times more or fewer events than theirs"
)


class Share(NamedTuple):
    """Parts of a whole, as metrics of a day."""

    parts: tuple[str, ...]
    whole: tuple[str, ...]


def _filled(what: str) -> Share:
    return Share(tuple(source_metric(what, source) for source in (CATALOGUE, ITEM_HISTORY)), ("item_events",))


def _of(whole: str, *parts: str) -> Share:
    return Share(parts, (whole,))


SHARES = {
    **{f"{what} filled": _filled(what) for what in SOURCES},
    **{f"{what} unknown": _of("item_events", source_metric(what, NOWHERE)) for what in SOURCES},
    "price unit corrected": _of("item_events", source_metric("price", UNIT_CORRECTED)),
    "bots": _of("events", "bot_events"),
    "outliers": _of("events", "outlier_events"),
    "late": _of("events", "late_events"),
    "aggregate consent": _of("events", "aggregate_consent_events"),
    "purchases without price": _of("purchases", "purchases_without_price"),
    "quarantined": Share(("quarantined",), ("events", "quarantined")),
}


class Jump(NamedTuple):
    day: str
    what: str
    value: float
    usual: float

    def __str__(self) -> str:
        unit = "" if self.what == "events" else " %"
        return f"{self.day}: {self.what} {self.value:,.4g}{unit}, usually {self.usual:,.4g}{unit}"


def percentages(metrics: Metrics) -> dict[str, float | None]:
    """Each share of SHARES in percent; None where the day has nothing to take a share of."""
    return {name: _percentage(metrics, share) for name, share in SHARES.items()}


def _percentage(metrics: Metrics, share: Share) -> float | None:
    whole = sum(metrics.get(metric, 0) for metric in share.whole)
    return 100 * sum(metrics.get(metric, 0) for metric in share.parts) / whole if whole else None


def days_before(day: str, count: int) -> list[str]:
    last = date.fromisoformat(day)
    return [(last - timedelta(n)).isoformat() for n in range(count, 0, -1)]


def jumps(known: Mapping[str, Metrics], day: str, is_over: bool) -> list[Jump]:
    """What of a day stands out from the days before it, by RULE."""
    before = [known[d] for d in days_before(day, BASELINE_DAYS) if d in known]
    if len(before) < MIN_BASELINE_DAYS:
        return []
    found = []
    events, usual = known[day]["events"], median(metrics["events"] for metrics in before)
    if is_over and not usual / VOLUME_FACTOR < events < usual * VOLUME_FACTOR:
        found.append(Jump(day, "events", events, usual))
    shares_before = [percentages(metrics) for metrics in before]
    for name, value in percentages(known[day]).items():
        earlier = [shares[name] for shares in shares_before if shares[name] is not None]
        if value is None or len(earlier) < MIN_BASELINE_DAYS:
            continue
        usual = median(earlier)
        factor_off = value >= usual * JUMP_FACTOR or value <= usual / JUMP_FACTOR
        if abs(value - usual) >= JUMP_POINTS and factor_off:
            found.append(Jump(day, name, value, usual))
    return found


def day_section(day: str, metrics: Metrics, undated_refusals: Mapping[str, int]) -> Section:
    """The numbers of one day, with what cannot be known of a day said as such."""
    shares = percentages(metrics)
    overview = [("events", _count(metrics["events"]), "")]
    overview += [
        (name, _count(sum(metrics.get(m, 0) for m in SHARES[name].parts)), _percent(value))
        for name, value in shares.items()
    ]
    overview.append(("claims of the future, taken at arrival", _count(metrics["claims_of_the_future"]), ""))
    overview.append(("duplicates", "unknown: the door drops them unseen by day; the import counts them", ""))
    details = [(name, _count(value)) for name, value in metrics.items() if ": " in name and value]
    undated = sum(undated_refusals.values())
    return Section(
        f"Quality of {day}",
        (
            f"Late is more than {LATE_AFTER_S // 60} minutes after it happened. Shares of categories, brands "
            "and prices are of the events with an item.",
            f"Quarantined without a readable day, of all imports: {undated:,}.",
        ),
        (
            Table("The day", ("what", "events", "share"), tuple(overview)),
            Table("By source and reason", ("what", "events"), tuple(details)),
        ),
    )


def trend_section(known: Mapping[str, Metrics], last: str) -> Section:
    days = [day for day in (*days_before(last, TREND_DAYS - 1), last) if day in known]
    shares = [percentages(known[day]) for day in days]
    shown = {name: [of_day[name] for of_day in shares] for name in SHARES}
    drawn = {name: values for name, values in shown.items() if any(values)}
    events = {"events": [known[day]["events"] for day in days]}
    return Section(
        "Trend",
        pictures=(
            Picture("Shares by day", line_chart(days, drawn, "Filled, flagged, refused", "% of the events")),
            Picture("Events by day", line_chart(days, events, "Events", "events")),
        ),
    )


def jump_table(found: Sequence[Jump]) -> Section:
    rows = tuple((j.day, j.what, f"{j.value:,.4g}", f"{j.usual:,.4g}") for j in found)
    return Section("Jumps", tables=(Table("Jumps", ("day", "what", "value", "usually"), rows),))


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} %"
