import math
import random

import pytest

from feature_repo import sketch
from feature_repo.aggregates import Activity, Aggregate, Where
from tests.online_api.events import stamped


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"op": "count", "field": "amount"}, "a count counts events"),
        ({"op": "sum"}, "a count counts events"),
        ({"op": "min", "field": "brand"}, "min of 'brand'"),
        ({"op": "distinct", "field": "colour"}, "distinct of 'colour'"),
        ({"op": "count", "event_types": ("glance",)}, "glance"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(fields: dict, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Aggregate("odd", **fields)


def test_a_filter_names_a_field_that_events_have_and_bounds_only_numbers() -> None:
    with pytest.raises(ValueError, match="events have"):
        Where("colour")
    with pytest.raises(ValueError, match="have an order"):
        Where("brand", at_least=3)


def test_a_shoppers_counts_lie_with_the_shopper() -> None:
    with pytest.raises(ValueError, match="user_id comes first"):
        Activity("odd", ("category", "user_id"), (), "x")


def test_filters_hold_together() -> None:
    aggregate = Aggregate(
        "some", "count", ("view",), where=(Where("price", at_least=10, at_most=20), Where("brand", ("a",)))
    )
    counted = {price: aggregate.partial(stamped("e", price=price, brand="a")) for price in (9, 10, 20, 21)}
    assert counted == {9: None, 10: 1, 20: 1, 21: None}
    assert aggregate.partial(stamped("e", price=10, brand="b")) is None
    assert aggregate.partial(stamped("e", brand="a")) is None


def test_of_one_instant_the_greater_value_is_the_last() -> None:
    newest = Aggregate("newest", "last", field="brand")
    assert newest.value_of([(5, "a"), (7, "b"), (7, "牌"), (6, "z")]) == "牌"
    assert newest.value_of([]) is None


@pytest.mark.parametrize("different", [0, 1, sketch.K - 1])
def test_a_few_different_values_are_counted_exactly(different: int) -> None:
    hashes = [int(sketch.hash_digits(f"v{n}"), 16) for n in range(different)]
    assert sketch.estimate(sketch.merged(hashes * 3)) == different


@pytest.mark.parametrize("different", [sketch.K, 1_000, 20_000])
def test_many_are_estimated_within_their_standard_error(different: int) -> None:
    """Forty independent sets: the mean error is that of an unbiased estimate, the spread as stated."""
    errors = []
    for seed in range(40):
        hashes = [int(sketch.hash_digits(f"{seed}:{n}"), 16) for n in range(different)]
        errors.append(sketch.estimate(sketch.merged(hashes)) / different - 1)
    stated = 1 / math.sqrt(sketch.K - 2)
    assert abs(sum(errors) / 40) < 4 * stated / math.sqrt(40)
    assert math.sqrt(sum(e * e for e in errors) / 40) < 1.5 * stated


def test_sketches_merge_however_they_are_cut() -> None:
    hashes = [int(sketch.hash_digits(str(n)), 16) for n in range(2_000)]
    random.Random(1).shuffle(hashes)
    parts = [sketch.merged(hashes[at : at + 300]) for at in range(0, 2_000, 150)]
    assert sketch.merged(h for part in parts for h in part) == sketch.merged(hashes)
