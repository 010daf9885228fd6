"""What must hold of what was served: the score log, and the scores with their outcomes."""

from collections.abc import Iterable

import great_expectations.expectations as gxe

from models.runtime.stage import STAGES
from orchestration.quality.expectations import (
    FIX_JOB,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    Suite,
    expect,
    filled,
    in_days,
    in_set,
    unique,
)
from orchestration.quality.rules import Broken, RowRule
from spark_jobs.jobs.outcomes import TARGETS

STAGE_SUM_TOLERANCE = 1e-6
FIX_RELEASE = "the release answers wrongly: roll it back (`intent release rollback`), then look at the rows"


def score_log(first_day: str, last_day: str, releases: Iterable[str]) -> Suite:
    """`releases`: the ids of those that were built here."""
    return Suite(
        name="score_log",
        key=("score_id", "user_id"),
        columns={
            **dict.fromkeys(("score_id", "user_id", "release", "definitions_hash", "stage"), TEXT),
            "as_of": TIME,
            **dict.fromkeys(TARGETS, NUMBER),
            **dict.fromkeys(("as_of_exact", "live", "degraded"), FLAG),
            "stage_probabilities": ("map<string,double>",),
        },
        derived={"stages_sum": _sum("map_values(stage_probabilities)")},
        expectations=(
            unique("score_id"),
            in_days("as_of", first_day, last_day),
            in_set("stage_is_known", "stage", STAGES, FIX_RELEASE),
            expect(
                gxe.ExpectColumnValuesToBeInSet,
                "release_was_built_here",
                "every score names a release of this installation",
                "a release's folder is gone: its live quality cannot be held against what it promised",
                "warning",
                column="release",
                value_set=sorted(releases),
            ),
        ),
        rules=(
            filled("score_id", "user_id", "as_of", "release", "definitions_hash", *TARGETS),
            _probabilities(TARGETS),
            RowRule(
                "stages_sum_to_1",
                "the probabilities of the stages lie in 0 to 1 and add up to 1, and the stage is among them",
                FIX_RELEASE,
                (
                    Broken(f"abs(stages_sum - 1) > {STAGE_SUM_TOLERANCE}", ("stages_sum",)),
                    Broken(
                        "exists(map_values(stage_probabilities), p -> coalesce(NOT p BETWEEN 0 AND 1, true))",
                        ("stage",),
                    ),
                    Broken("NOT map_contains_key(stage_probabilities, stage)", ("stage",)),
                ),
            ),
        ),
    )


def outcomes(first_day: str, last_day: str) -> Suite:
    served = tuple(f"{target}_probability" for target in TARGETS)
    filled_labels = " AND ".join(f"{target} IS NOT NULL" for target in TARGETS)
    no_labels = " AND ".join(f"{target} IS NULL" for target in TARGETS)
    return Suite(
        name="outcomes",
        key=("score_id", "user_id"),
        columns={
            **dict.fromkeys(("score_id", "user_id", "release", "horizon"), TEXT),
            "as_of": TIME,
            **dict.fromkeys(served, NUMBER),
            **dict.fromkeys(TARGETS, INTEGER),
            **dict.fromkeys(("known", "live", "is_bot"), FLAG),
        },
        expectations=(
            unique("score_id"),
            in_days("as_of", first_day, last_day),
            in_set("horizon_is_known", "horizon", ("session", "day")),
            *(in_set(f"{target}_is_0_or_1", target, (0, 1)) for target in TARGETS),
        ),
        rules=(
            filled("score_id", "user_id", "as_of", "release", "known", "is_bot"),
            _probabilities(served),
            RowRule(
                "labels_are_there_when_known",
                "a score has all its labels once they are known, and none before",
                FIX_JOB,
                (
                    Broken(f"known AND NOT ({filled_labels})", ("known", *TARGETS)),
                    Broken(f"NOT known AND NOT ({no_labels})", ("known", *TARGETS)),
                ),
            ),
            RowRule(
                "who_leaves_does_nothing_more",
                "within the session, a shopper who left neither bought nor filled the cart afterwards",
                FIX_JOB,
                (
                    Broken(
                        "horizon = 'session' AND leave = 1 AND purchase + add_to_cart > 0",
                        ("horizon", *TARGETS),
                    ),
                ),
            ),
        ),
    )


def _probabilities(columns: tuple[str, ...]) -> RowRule:
    return RowRule(
        "probabilities_are_in_0_to_1",
        "every probability is a number from 0 to 1",
        FIX_RELEASE,
        tuple(Broken(f"coalesce(NOT {c} BETWEEN 0 AND 1, true)", (c,)) for c in columns),
    )


def _sum(values: str) -> str:
    return f"aggregate({values}, 0D, (total, p) -> total + p)"
