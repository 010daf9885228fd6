"""Figures of several rounds, as benchmarks report them."""

from collections.abc import Sequence
from statistics import median


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    found = {"median": median(values), "low": min(values), "high": max(values)}
    return {name: round(value, digits) for name, value in found.items()}


def shown(x: dict[str, float], layout: str) -> str:
    return f"{x['median']:{layout}} ({x['low']:{layout}} to {x['high']:{layout}})"
