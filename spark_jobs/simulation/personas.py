"""Kinds of shopper, as data: what makes one visit unlike another's over weeks."""

from typing import NamedTuple


class Persona(NamedTuple):
    """Factors are relative to an average shopper; chances are per choice.

    `leanings` are the weights of the goals buy, compare, explore and get_help. `budget` are the
    parameters of a Beta distribution over how dear an item may be within its category.
    """

    share: float
    leanings: tuple[float, float, float, float]
    visits: float
    decisiveness: float
    budget: tuple[float, float]
    loyal_to_brand: float
    takes_cheapest: float
    promotion_sensitivity: float
    pace: float
    mobile: float
    lapse: float


PERSONAS: dict[str, Persona] = {
    "bargain_hunter": Persona(
        share=0.22, leanings=(0.15, 0.25, 0.42, 0.11), visits=1.05, decisiveness=0.8, budget=(1.7, 2.9),
        loyal_to_brand=0.05, takes_cheapest=0.75, promotion_sensitivity=2.2, pace=1.0, mobile=0.64, lapse=1.2,
    ),
    "brand_loyal": Persona(
        share=0.17, leanings=(0.24, 0.13, 0.40, 0.12), visits=0.95, decisiveness=1.2, budget=(2.8, 2.0),
        loyal_to_brand=0.8, takes_cheapest=0.05, promotion_sensitivity=0.6, pace=1.0, mobile=0.55, lapse=0.5,
    ),
    "browser": Persona(
        share=0.29, leanings=(0.11, 0.13, 0.66, 0.08), visits=1.2, decisiveness=0.8, budget=(2.2, 2.2),
        loyal_to_brand=0.1, takes_cheapest=0.15, promotion_sensitivity=1.0, pace=0.9, mobile=0.70, lapse=1.1,
    ),
    "researcher": Persona(
        share=0.16, leanings=(0.16, 0.46, 0.25, 0.19), visits=1.0, decisiveness=0.9, budget=(2.6, 1.9),
        loyal_to_brand=0.15, takes_cheapest=0.25, promotion_sensitivity=0.8, pace=1.4, mobile=0.4, lapse=0.9,
    ),
    "quick_buyer": Persona(
        share=0.16, leanings=(0.45, 0.09, 0.22, 0.17), visits=0.7, decisiveness=1.6, budget=(2.4, 2.0),
        loyal_to_brand=0.3, takes_cheapest=0.1, promotion_sensitivity=0.5, pace=0.65, mobile=0.62, lapse=1.0,
    ),
}  # fmt: skip
