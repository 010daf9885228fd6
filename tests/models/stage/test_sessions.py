from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.sequence import STEP_LIMIT, step_of
from feature_repo.windows import DAY_S
from models.stage.sessions import COLUMNS, read_sessions

START = datetime(2026, 3, 1, tzinfo=UTC)


def row(
    user: str, session: str, second: int, event_type: str = "view", item: str | None = "a", **more
) -> dict:
    return {
        "user_id": user, "session_key": session, "event_id": f"{user}-{session}-{second}",
        "event_time": START + timedelta(seconds=second), "event_type": event_type, "item_id": item,
        "personal": True, "is_bot": False, **more,
    }  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def files(*parts: list[dict]) -> list:
        schema = pa.schema(
            {
                **dict.fromkeys(COLUMNS, pa.string()),
                "event_time": pa.timestamp("us", "UTC"),
                "personal": pa.bool_(),
                "is_bot": pa.bool_(),
            }
        )
        paths = []
        for n, rows in enumerate(parts):
            paths.append(tmp_path / f"day={n}" / "part.parquet")
            paths[-1].parent.mkdir()
            pq.write_table(pa.Table.from_pylist(rows, schema), paths[-1])
        return paths

    return files


def test_sessions_are_of_people_in_order_across_days(write):
    files = write(
        [row("u", "s", 60), row("u", "s", 30, "search", None), row("bot", "s", 1, is_bot=True)],
        [row("u", "s", DAY_S), row("quiet", "s", 5, personal=False), row("v", "t", 10, "message", None)],
    )
    first, second = read_sessions(files, 1_000)
    assert (first.user_id, first.session_id) == ("v", "t")
    assert second.event_ids == ["u-s-30", "u-s-60", f"u-s-{DAY_S}"]
    base = int(START.timestamp())
    assert second.steps[0] == step_of((base + 30) * 1_000_000, "search", None)
    assert second.begins_at_us == (base + 30) * 1_000_000


def test_a_purchase_counts_for_later_sessions_of_the_week(write):
    files = write(
        [
            row("u", "first", 0, "purchase"), row("u", "second", 100), row("u", "third", 8 * DAY_S),
            row("v", "other", 50),
        ]
    )  # fmt: skip
    bought = {s.session_id: s.bought_before for s in read_sessions(files, 1_000)}
    assert bought == {"first": False, "second": True, "third": False, "other": False}


def test_a_long_session_is_its_newest_steps(write):
    (found,) = read_sessions(write([row("u", "s", n) for n in range(STEP_LIMIT + 9)]), 1_000)
    assert len(found.steps) == len(found.event_ids) == STEP_LIMIT
    assert found.event_ids[0] == "u-s-9"


def test_of_many_events_whole_shoppers_are_chosen(write):
    files = write([row(f"u{n % 100}", "s", n) for n in range(1_000)])
    found = read_sessions(files, 300)
    assert 10 < len(found) < 60
    assert all(len(s.steps) == 10 for s in found)
    assert read_sessions([], 300) == []
