"""Scores and corrections land once each, whatever is killed when, and are read back as they were."""

import msgspec
import pyarrow.parquet as pq
import pytest

from feature_repo.behavior import DEFINITIONS_HASH
from models.runtime.stage import STAGES
from online_api import keys
from online_api.feedback import FeedbackRecord
from online_api.score_log import ScoreRecord, encode_record, list_name, pack_vector
from orchestration.scores import FEEDBACK, SCORES, land_feedback, land_scores, newest_scores
from spark_jobs.day_files import day_files
from spark_jobs.lake import Lake
from tests.online_api.events import DAY, NOW
from tests.orchestration.test_landing import Killed

FEATURES = ("user_activity:view_count_1h", "user_intent_embedding:embedding", "session_activity:x_s")


def scored(score_id: str, as_of: int = NOW, **changes) -> ScoreRecord:
    record = ScoreRecord(
        score_id=score_id,
        as_of=as_of,
        user_id="u1",
        session_id=None,
        scenario="search",
        release="r-1",
        definitions_hash=DEFINITIONS_HASH,
        encoder_revision="e1",
        features=FEATURES,
        values=[10**15 + 1, pack_vector([0.1, -2.5]), 1e-6],
        used=[True, False, True],
        covered_epoch=None,
        live_epoch=3,
        live_seq=9,
        as_of_exact=True,
        degraded=False,
        behavior={"purchase": 0.1, "add_to_cart": 0.25, "leave": 1 / 3},
        stage="explore",
        intent=None,
        stage_probabilities={stage: 1 / len(STAGES) for stage in STAGES},
    )
    return msgspec.structs.replace(record, **changes)


@pytest.fixture
def log(server):
    """Writes records to the stream."""

    def write(*records: ScoreRecord) -> None:
        server.hset(keys.SCORE_FEATURES, list_name(FEATURES), "\n".join(FEATURES))
        for record in records:
            server.xadd(keys.SCORES, {"e": encode_record(record)})

    return write


def landed_ids(lake, table=SCORES, key="score_id") -> list[str]:
    return [
        name
        for day in lake.parts(table)
        for path in day_files(lake, table, day)
        for name in pq.read_table(path, columns=[key], partitioning=None)[key].to_pylist()
    ]


def test_scores_land_by_their_day_and_come_back_as_they_were(log, ledger, lake, server):
    records = [
        scored("a", values=[None, None, None], used=[False] * 3, scenario=None, degraded=True),
        scored("b", as_of=NOW - DAY, intent="price", intent_confidence=0.75, session_id="s1"),
        scored("c", stage_probabilities=None),
    ]
    log(*records)
    landed = land_scores(ledger, lake)
    assert (landed.rows, landed.repeats, landed.days) == (3, 0, ("2025-10-08", "2025-10-09"))
    assert server.xlen(keys.SCORES) == 0
    found = newest_scores(ledger, lake, 10)
    assert sorted(found, key=lambda r: r.score_id) == records


class DyingLake(Lake):
    def publish(self, name, part, seen_epoch=None):
        if part == "2025-10-09":
            raise Killed
        super().publish(name, part, seen_epoch)


class DyingLedger:
    def __init__(self, ledger):
        self.scores = ledger.scores

    def trim_scores(self, upto):
        raise Killed


@pytest.mark.parametrize("dies", ["between the days", "before the trim"])
def test_a_landing_killed_anywhere_is_made_good_by_the_next(log, ledger, lake, dies):
    log(scored("a"), scored("b", as_of=NOW - DAY), scored("a"))
    with pytest.raises(Killed):
        if dies == "between the days":
            land_scores(ledger, DyingLake(lake.root))
        else:
            land_scores(DyingLedger(ledger), lake)
    log(scored("c"))
    land_scores(ledger, lake)
    assert sorted(landed_ids(lake)) == ["a", "b", "c"]


def test_many_small_landings_leave_few_files(log, ledger, lake):
    for n in range(32):
        log(scored(f"s{n:02d}"))
        land_scores(ledger, lake)
    assert landed_ids(lake) == [f"s{n:02d}" for n in range(32)]
    assert len(day_files(lake, SCORES, "2025-10-09")) <= 5


def test_the_newest_scores_are_those_of_redis_and_then_of_the_lake(log, ledger, lake):
    log(*(scored(f"s{n}", as_of=NOW - DAY) for n in range(4)), *(scored(f"t{n}") for n in range(2)))
    land_scores(ledger, lake)
    log(scored("t1"), scored("u0"))
    assert [r.score_id for r in newest_scores(ledger, lake, 4)] == ["s3", "t0", "t1", "u0"]
    assert [r.score_id for r in newest_scores(ledger, lake, 1)] == ["u0"]


def test_corrections_land_once_whenever_they_are_repeated(ledger, lake, server):
    def send(name: str, received_at: int) -> None:
        record = FeedbackRecord(name, received_at, "鞋子开胶了", "complaint", "agent", None, None, "r-1")
        server.xadd(keys.FEEDBACK, {"e": msgspec.msgpack.encode(record)})

    send("f1", NOW)
    send("f2", NOW)
    assert land_feedback(ledger, lake).rows == 2
    send("f1", NOW + 30 * DAY)
    landed = land_feedback(ledger, lake)
    assert (landed.rows, landed.repeats) == (0, 1)
    assert landed_ids(lake, FEEDBACK, "feedback_id") == ["f1", "f2"]
