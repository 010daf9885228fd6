"""Which persona a profile belongs to, by centres that were fitted elsewhere."""

from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.profiles import PERSONA_INPUTS


class PersonaCentres(NamedTuple):
    """`centres`: one a slug, over PERSONA_INPUTS less their `means`, in units of their `scales`."""

    slugs: Sequence[str]
    means: Sequence[float]
    scales: Sequence[float]
    centres: Sequence[Sequence[float]]


def persona_inputs(profiles: DataFrame) -> DataFrame:
    """A column per persona input, of the shoppers who are not taken for bots."""
    return profiles.where(~F.col("is_bot")).select(
        "user_id", *(F.expr(i.sql).cast("double").alias(i.name) for i in PERSONA_INPUTS)
    )


def with_personas(profiles: DataFrame, personas: PersonaCentres | None) -> DataFrame:
    """Adds `persona` and `persona_confidence`: the nearest centre, and 1 less the distance to it over the
    distance to the next. Null for bots, and where nothing is fitted.
    """
    if personas is None:
        nothing = {"persona": F.lit(None).cast("string"), "persona_confidence": F.lit(None).cast("double")}
        return profiles.withColumns(nothing)
    slugs = F.array(*(F.lit(slug) for slug in personas.slugs))
    person = ~F.col("is_bot")
    distances = F.col("distances")
    second = F.get(F.array_sort(distances), F.lit(1))
    nearest = F.array_min(distances)
    return (
        profiles.withColumn("inputs", F.array(*(F.expr(i.sql).cast("double") for i in PERSONA_INPUTS)))
        .withColumn("distances", F.array(*(_distance(centre, personas) for centre in personas.centres)))
        .withColumn("persona", F.when(person, F.get(slugs, F.array_position(distances, nearest) - 1)))
        .withColumn(
            "persona_confidence",
            F.when(person, F.coalesce(1 - F.try_divide(nearest, second), F.lit(0.0))),
        )
        .drop("inputs", "distances")
    )


def _distance(centre: Sequence[float], personas: PersonaCentres) -> Column:
    numbers = zip(personas.means, personas.scales, centre, strict=True)
    squares = (
        F.pow((F.get("inputs", F.lit(i)) - F.lit(mean)) / F.lit(scale) - F.lit(at), F.lit(2.0))
        for i, (mean, scale, at) in enumerate(numbers)
    )
    return F.sqrt(sum(squares, F.lit(0.0)))
