import msgspec
import pytest

from feature_repo.profiles import PERSONA_INPUTS
from models.personas import Personas
from orchestration.personas import STATE, centres_of, is_due, persona_table, read_personas

COUNT = len(PERSONA_INPUTS)
PERSONAS = Personas(
    version=3,
    fitted_until="2024-03-01",
    shoppers=100,
    inputs=tuple(i.name for i in PERSONA_INPUTS),
    means=(0.5,) * COUNT,
    scales=(2.0,) * COUNT,
    slugs=("regular-buyer", "visitor"),
    centres=((1.0,) * COUNT, (0.0,) * COUNT),
    sizes=(25, 75),
    silhouettes={"4": 0.3},
)


def test_what_was_fitted_is_read_back_and_handed_to_spark(lake):
    assert read_personas(lake) is None and centres_of(None) is None
    lake.write_state(STATE, msgspec.to_builtins(PERSONAS))
    centres = centres_of(read_personas(lake))
    assert centres == (PERSONAS.slugs, PERSONAS.means, PERSONAS.scales, PERSONAS.centres)


@pytest.mark.parametrize(
    ("newest", "due"), [("2024-02-20", False), ("2024-03-07", False), ("2024-03-08", True)]
)
def test_personas_are_fitted_again_after_a_week_of_newer_days(newest, due):
    assert is_due(None, newest)
    assert is_due(PERSONAS, newest) is due


def test_people_are_shown_each_persona_with_its_share_and_words_in_both_languages():
    first, second = persona_table(PERSONAS).records
    assert (first.data["persona"], first.data["shoppers"]) == ("regular-buyer", "25.0%")
    assert first.data["in words"] and first.data["中文"]
    assert second.data["in words"] == "is close to the average shopper"
