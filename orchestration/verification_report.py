"""A day's verification as rows of a table, as Markdown, and as its trend over days."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from models.document import Picture, Section, Table
from orchestration.plots import line_chart
from orchestration.verification import Verification
from spark_jobs.lake import Lake

TABLE = "score_verification"
TREND_DAYS = 30
# A row a feature that differed, and one of the whole day, whose feature is null.
SCHEMA = pa.schema(
    [("feature", pa.string()), *((n, pa.int64()) for n in ("scores", "mismatches", "skipped"))]
)


def publish(lake: Lake, day: str, found: Verification) -> None:
    skipped = sum(found.skipped.values())
    rows = [{"scores": found.scores, "mismatches": found.differing, "skipped": skipped}]
    rows += [
        {"feature": name, "scores": found.scores, "mismatches": count}
        for name, count in found.mismatches.items()
    ]
    folder = lake.candidate(TABLE, day)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "verification.parquet")
    lake.publish(TABLE, day)


def known_days(lake: Lake, until: str) -> dict[str, dict[str, int]]:
    """Scores, mismatches and skipped of the newest verified days up to one."""
    days = [day for day in lake.parts(TABLE) if day <= until][-TREND_DAYS:]
    return {day: _whole(lake, day) for day in days}


def _whole(lake: Lake, day: str) -> dict[str, int]:
    rows = pq.read_table(lake.partition(TABLE, day) / "verification.parquet", partitioning=None).to_pylist()
    return next(row for row in rows if row["feature"] is None)


def trend(known: Mapping[str, Mapping[str, int]]) -> Section:
    days = list(known)
    wrong = {"scores with a mismatch": [known[day]["mismatches"] for day in days]}
    seen = {name: [known[day][name] for day in days] for name in ("scores", "skipped")}
    return Section(
        "Trend",
        pictures=(
            Picture("Mismatches by day", line_chart(days, wrong, "Scores with a mismatch", "scores")),
            Picture("Scores by day", line_chart(days, seen, "Verified and skipped", "scores")),
        ),
    )


def details(found: Verification) -> Section:
    tables = (
        _counts("Mismatches", ("feature", "scores"), found.mismatches),
        _counts("What explains them, of those looked into", ("fault", "scores"), found.diagnosis),
        _counts("Skipped", ("why", "scores"), found.skipped),
        Table("Examples", ("score",), tuple((example,) for example in found.examples)),
    )
    return Section("Details", tables=tuple(table for table in tables if table.rows))


def _counts(caption: str, head: Sequence[str], counted: Mapping[str, int]) -> Table:
    return Table(caption, tuple(head), tuple((name, f"{n:,}") for name, n in counted.items()))
