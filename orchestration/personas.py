"""Where the fitted personas are kept, and how they are told."""

from datetime import date

import dagster as dg
import msgspec
import numpy as np

from models.personas import Personas, describe, fit_personas
from orchestration.resources import Platform
from spark_jobs.jobs import profiles as job
from spark_jobs.lake import Lake
from spark_jobs.transforms.personas import PersonaCentres

STATE = "personas"
REFIT_AFTER_DAYS = 7
FIT_ROWS = 50_000


def read_personas(lake: Lake) -> Personas | None:
    state = lake.read_state(STATE)
    return msgspec.convert(state, Personas) if state else None


def centres_of(personas: Personas | None) -> PersonaCentres | None:
    if personas is None:
        return None
    return PersonaCentres(personas.slugs, personas.means, personas.scales, personas.centres)


def is_due(personas: Personas | None, newest_day: str) -> bool:
    """There are none, or a week of newer days has come since their fit."""
    if personas is None:
        return True
    since = date.fromisoformat(newest_day) - date.fromisoformat(personas.fitted_until)
    return since.days >= REFIT_AFTER_DAYS


def refit(platform: Platform, newest_day: str, former: Personas | None) -> Personas | None:
    """Fit to shoppers as they are at the end of `newest_day`, and keep the result under its version, too.
    None, and nothing kept, where there are too few shoppers.
    """
    sample = job.sample_of_persona_inputs(platform.spark(), platform.lake, newest_day, FIT_ROWS)
    table = sample.drop("user_id").toArrow()
    numbers = np.column_stack([column.to_numpy() for column in table.columns])
    personas = fit_personas(numbers, newest_day, former)
    if personas is not None:
        fitted = msgspec.to_builtins(personas)
        platform.lake.write_state(f"{STATE}-{personas.version}", fitted)
        platform.lake.write_state(STATE, fitted)
    return personas


def persona_table(personas: Personas) -> dg.TableMetadataValue:
    records = [
        dg.TableRecord(
            {
                "persona": text.slug,
                "shoppers": f"{text.share:.1%}",
                "in words": text.en,
                "中文": text.zh,
                "furthest from average": ", ".join(f"{name} {z:+.1f} sd" for name, z in text.top),
            }
        )
        for text in describe(personas.slugs, personas.deviations, personas.sizes)
    ]
    return dg.MetadataValue.table(records)
