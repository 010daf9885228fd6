import msgspec
import numpy as np
import pytest

from feature_repo.profiles import PERSONA_INPUTS
from models.personas import Personas, describe, fit_personas
from models.personas.fit import INPUTS, MIN_SHOPPERS, chosen, raw_centres

SHAPES = {"evening": ("evening", "views"), "buying": ("orders", "visits"), "asking": ("messages",)}
SHAPES |= {"bargain": ("carts", "weekend"), "dear": ("price", "searches")}


def shoppers(seed: int, per_group: int = 80, spread: float = 0.25, shift: float = 0.0) -> np.ndarray:
    """Five groups, each high in its own inputs."""
    chance = np.random.default_rng(seed)
    rows = []
    for names in SHAPES.values():
        centre = np.array([2.0 if name in names else 0.0 for name in INPUTS]) + shift
        rows.append(centre + chance.normal(0, spread, (per_group, len(INPUTS))))
    return np.vstack(rows)


def assigned(personas: Personas, numbers: np.ndarray) -> list[str]:
    nearest = np.linalg.norm(
        (numbers[:, None, :] - raw_centres(personas)[None]) / np.array(personas.scales), axis=2
    ).argmin(axis=1)
    return [personas.slugs[i] for i in nearest]


@pytest.fixture(scope="module")
def personas():
    return fit_personas(shoppers(1), "2024-03-01")


def test_groups_are_found_and_named_by_what_sets_them_apart(personas):
    assert len(personas.slugs) == len(set(personas.slugs)) == len(SHAPES)
    assert sum(personas.sizes) == personas.shoppers == 400
    nouns = {slug.split("-")[-1] for slug in personas.slugs}
    assert {"buyer", "asker", "searcher"} <= nouns
    assert any("evening" in slug and slug.endswith("browser") for slug in personas.slugs)


def test_each_persona_is_described_in_english_and_chinese(personas):
    texts = describe(personas.slugs, personas.deviations, personas.sizes)
    assert sum(t.share for t in texts) == pytest.approx(1)
    asker = next(t for t in texts if t.slug.endswith("asker"))
    assert "customer service more" in asker.en and "客服" in asker.zh
    assert asker.top[0][0] == "messages"
    assert len({t.en for t in texts}) == len({t.zh for t in texts}) == len(texts)


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_a_refit_on_almost_the_same_shoppers_leaves_them_their_personas(personas, shift):
    before = shoppers(1)
    after = before + np.random.default_rng(3).normal(0, 0.05, before.shape) + shift
    refit = fit_personas(after, "2024-03-08", personas)
    assert refit.version == 2 and set(refit.slugs) == set(personas.slugs)
    same = np.mean([a == b for a, b in zip(assigned(personas, before), assigned(refit, after), strict=True)])
    assert same > 0.9


def test_a_group_unlike_any_former_one_has_a_new_name(personas):
    numbers = shoppers(2)
    numbers[:80] = np.array([3.0 if name in ("night", "focus") else 0.0 for name in INPUTS])
    numbers[:80] += np.random.default_rng(5).normal(0, 0.25, (80, len(INPUTS)))
    refit = fit_personas(numbers, "2024-03-08", personas)
    assert len(set(refit.slugs) - set(personas.slugs)) >= 1
    assert len(set(refit.slugs) & set(personas.slugs)) >= 4


def test_the_same_numbers_give_the_same_personas(personas):
    assert fit_personas(shoppers(1), "2024-03-01") == personas
    assert msgspec.json.decode(msgspec.json.encode(personas), type=Personas) == personas


def test_the_number_of_groups_is_kept_unless_another_is_clearly_better(personas):
    smallest = dict.fromkeys((4, 5, 6), 0.1)
    assert chosen({4: 0.3, 5: 0.3, 6: 0.34}, smallest, None) == 6
    assert chosen({4: 0.3, 5: 0.3, 6: 0.34}, smallest, personas) == 5
    assert chosen({4: 0.3, 5: 0.3, 6: 0.36}, smallest, personas) == 6
    assert chosen({4: 0.3, 5: 0.9, 6: 0.1}, {4: 0.1, 5: 0.01, 6: 0.1}, None) == 4


def test_few_shoppers_have_no_personas_and_like_ones_are_no_error():
    assert fit_personas(shoppers(1)[: MIN_SHOPPERS - 1], "2024-03-01") is None
    alike = fit_personas(np.ones((MIN_SHOPPERS, len(PERSONA_INPUTS))), "2024-03-01")
    assert alike is not None and len(set(alike.slugs)) == len(alike.slugs)


def test_a_null_among_the_inputs_is_told():
    numbers = shoppers(1)
    numbers[0, 0] = np.nan
    with pytest.raises(ValueError, match="persona input is null"):
        fit_personas(numbers, "2024-03-01")
