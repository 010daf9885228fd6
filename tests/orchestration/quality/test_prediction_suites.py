"""Good scores and outcomes pass; each corruption breaks the expectation that names it."""

from datetime import UTC, datetime, timedelta

import pytest

from models.runtime.stage import STAGES
from orchestration.quality import prediction_suites
from orchestration.quality.gate import validate
from spark_jobs.jobs.tables import SCHEMAS

DAY = "2024-03-10"
NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)


def score(i: int) -> dict:
    return {
        "score_id": f"s{i}",
        "as_of": NOON + timedelta(seconds=i),
        "user_id": "u",
        "release": "r-1",
        "definitions_hash": "0" * 12,
        "as_of_exact": True,
        "live": True,
        "degraded": False,
        "purchase": 0.0,
        "add_to_cart": 0.5,
        "leave": 1.0,
        "stage": "compare",
        "stage_probabilities": None if i == 9 else {s: 1 / len(STAGES) for s in STAGES},
    }


def outcome(i: int) -> dict:
    probabilities = {"purchase_probability": 0.0, "add_to_cart_probability": 0.5, "leave_probability": 1.0}
    labels = dict.fromkeys(("purchase", "add_to_cart", "leave"), None if i == 9 else i % 2)
    labels |= {"leave": 0} if i % 2 and i != 9 else {}
    row = {"score_id": f"s{i}", "as_of": NOON, "user_id": "u", "release": "r-1", "horizon": "session"}
    return {**row, "live": True, "is_bot": False, "known": i != 9, **probabilities, **labels}


SUITES = {
    "score_log": (prediction_suites.score_log(DAY, DAY, ["r-1"]), score),
    "outcomes": (prediction_suites.outcomes(DAY, DAY), outcome),
}
CORRUPTIONS = {
    "score_log": [
        ({"purchase": 1.01}, "probabilities_are_in_0_to_1"),
        ({"leave": float("nan")}, "probabilities_are_in_0_to_1"),
        ({"stage_probabilities": {"compare": 0.5}}, "stages_sum_to_1"),
        ({"stage_probabilities": {"compare": 1.5, "explore": -0.5}}, "stages_sum_to_1"),
        ({"stage_probabilities": {"explore": 1.0}}, "stages_sum_to_1"),
        ({"stage": "dance"}, "stage_is_known"),
        ({"as_of": NOON + timedelta(days=1)}, "as_of_is_in_its_day"),
        ({"release": "r-gone"}, "release_was_built_here"),
    ],
    "outcomes": [
        ({"leave_probability": None}, "probabilities_are_in_0_to_1"),
        ({"leave": None}, "labels_are_there_when_known"),
        ({"known": False}, "labels_are_there_when_known"),
        ({"leave": 1}, "who_leaves_does_nothing_more"),
        ({"horizon": "week"}, "horizon_is_known"),
    ],
}


@pytest.mark.parametrize("name", SUITES)
def test_each_corruption_breaks_what_names_it(spark, name):
    suite, row = SUITES[name]
    types = dict(column.split(" ", 1) for column in SCHEMAS[name].split(", "))
    schema = ", ".join(f"{column} {types[column]}" for column in row(0))

    def failed(rows: list[dict]) -> dict[str, int]:
        result = validate(spark.createDataFrame([tuple(r.values()) for r in rows], schema), suite)
        return {f.name: f.unexpected_count for f in result.failed}

    good = [row(i) for i in range(20)]
    assert failed(good) == {}
    bad = [row(2 * i + 1) | change for i, (change, _) in enumerate(CORRUPTIONS[name])]
    expected: dict[str, int] = {"score_id_are_unique": 2}
    for _, expectation in CORRUPTIONS[name]:
        expected[expectation] = expected.get(expectation, 0) + 1
    found = failed([*(row(2 * i) for i in range(10)), row(0), *bad])
    assert set(found) == set(expected)
