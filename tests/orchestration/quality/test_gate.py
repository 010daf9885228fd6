from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from pyspark.sql import functions as F

from orchestration.quality.gate import GateResult, markdown, to_asset_check_result, validate
from orchestration.quality.training_suites import LABELS, training_labels

NOON = datetime(2019, 10, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def labels(spark):
    rows = [(f"u{i}", "s", NOON + timedelta(minutes=i), i % 2, 0, 1) for i in range(12)]
    schema = "user_id string, session_id string, event_timestamp timestamp, " + ", ".join(
        f"{label} int" for label in LABELS
    )
    return spark.createDataFrame(rows, schema).coalesce(1).cache()


@pytest.fixture(scope="module")
def broken(labels) -> GateResult:
    """Every row has a purchase label of 7, and one has no shopper."""
    nobody = F.when(F.col("user_id") != "u3", F.col("user_id"))
    return validate(labels.withColumns({"purchase": F.lit(7), "user_id": nobody}), training_labels())


def test_a_good_table_passes(labels):
    result = validate(labels, training_labels())
    assert result.passed and not result.failed
    assert result.rows == 12
    assert result.spark_jobs > 0 and result.seconds > 0


def test_a_failure_says_how_many_rows_and_shows_a_few(broken):
    failed = {f.name: f for f in broken.failed}
    assert set(failed) == {"labels_are_0_or_1", "required_columns_are_filled"}
    purchase = failed["labels_are_0_or_1"]
    assert purchase.unexpected_count == 12
    assert purchase.observed == "12 of 12 rows break it (100.00%)"
    assert len(purchase.samples) == 5
    assert "user_id=u0, session_id=s, event_timestamp=2019-10-01T12:00:00Z: purchase=7" in purchase.samples
    assert failed["required_columns_are_filled"].samples == (
        "user_id=null, session_id=s, event_timestamp=2019-10-01T12:03:00Z: user_id=null",
    )


def test_the_same_rows_give_the_same_findings(labels, broken):
    nobody = F.when(F.col("user_id") != "u3", F.col("user_id"))
    again = validate(labels.withColumns({"purchase": F.lit(7), "user_id": nobody}), training_labels())
    assert again.findings == broken.findings


def test_a_missing_or_mistyped_column_fails_without_reading_the_table(labels):
    result = validate(labels.drop("leave").withColumn("purchase", F.lit("yes")), training_labels())
    assert not result.passed
    assert [f.name for f in result.failed] == ["columns_are_as_declared"]
    assert result.failed[0].observed == "purchase is string, leave is missing"
    assert result.rows is None and result.spark_jobs == 0


def test_an_empty_table_is_a_warning_where_rows_may_be_absent(labels):
    result = validate(labels.limit(0), training_labels())
    assert result.passed and result.rows == 0
    assert [(f.name, f.severity) for f in result.failed] == [("has_rows", "warning")]


def test_nothing_is_left_on_disk(labels, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    validate(labels, training_labels())
    assert list(tmp_path.iterdir()) == []


def test_the_callers_job_group_is_put_back(spark, labels):
    context = spark.sparkContext
    before = context.getLocalProperty("spark.jobGroup.id")
    context.setLocalProperty("spark.jobGroup.id", "mine")
    try:
        validate(labels, training_labels())
        assert context.getLocalProperty("spark.jobGroup.id") == "mine"
    finally:
        context.setLocalProperty("spark.jobGroup.id", before)


def test_dagster_hears_an_error_for_a_critical_failure(broken):
    check = to_asset_check_result(broken)
    assert not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    assert check.description.startswith("training_labels is not published: required_columns_are_filled")
    assert check.metadata["critical_failures"].value == 2
    assert check.metadata["rows"].value == 12


def test_dagster_hears_a_warning_that_stops_nothing(labels):
    check = to_asset_check_result(validate(labels.limit(0), training_labels()))
    assert check.passed and check.severity == dg.AssetCheckSeverity.WARN
    assert "has_rows (warning)" in check.description
    assert check.metadata["warnings"].value == 1


def test_the_table_shows_every_expectation_and_what_to_do(broken):
    text = markdown(broken)
    assert text.startswith("**✗ required_columns_are_filled** (critical)")
    assert "What to do: " in text
    assert "| ✓ | has_rows |" in text and "| ✗ | labels_are_0_or_1 |" in text
    assert text.count("\n| ✓ |") + text.count("\n| ✗ |") == len(broken.findings)


def test_a_blocking_check_keeps_what_depends_on_it_from_running(labels):
    ran = []

    def run(value: int) -> dg.ExecuteInProcessResult:
        @dg.asset
        def training_labels_table() -> None: ...

        @dg.asset_check(asset=training_labels_table, blocking=True)
        def labels_hold() -> dg.AssetCheckResult:
            table = labels.withColumn("purchase", F.lit(value))
            return to_asset_check_result(validate(table, training_labels()))

        @dg.asset(deps=[training_labels_table])
        def model() -> None:
            ran.append(value)

        return dg.materialize([training_labels_table, labels_hold, model], raise_on_error=False)

    assert not run(7).success
    assert run(1).success
    assert ran == [1]
