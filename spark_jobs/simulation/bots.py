"""Visits that nobody makes: they want nothing, have no stage and buy nothing."""

from feature_repo.windows import US
from spark_jobs.simulation.catalogue import Catalogue
from spark_jobs.simulation.promotions import Day
from spark_jobs.simulation.shoppers import Shopper
from spark_jobs.simulation.visit import Visit

POLLED_ITEMS = 8


def crawl(shopper: Shopper, catalogue: Catalogue, start_us: int, day: Day) -> Visit:
    """Page after page of the catalogue at an even pace."""
    rng = shopper.rng
    visit = Visit(shopper, start_us, day)
    items = catalogue.items
    at_us, first = start_us, rng.randrange(len(items))
    pace_s = rng.uniform(0.4, 2.0)
    for n in range(rng.randrange(50, 180)):
        visit.add_of_item(at_us, "view", items[(first + n) % len(items)])
        at_us += int(pace_s * rng.uniform(0.97, 1.03) * US)
    return visit


def scrape(shopper: Shopper, catalogue: Catalogue, start_us: int, day: Day) -> Visit:
    """Bursts of a few dozen pages within seconds, silence between them; another visitor each time."""
    rng = shopper.rng
    shopper.come_back()
    visit = Visit(shopper, start_us, day)
    at_us = start_us
    for _ in range(rng.randrange(2, 5)):
        for item in rng.sample(catalogue.items, rng.randrange(25, 60)):
            visit.add_of_item(at_us, "view", item)
            at_us += rng.randrange(40_000, 160_000)
        at_us += rng.randrange(120, 900) * US
    return visit


def poll(shopper: Shopper, catalogue: Catalogue, start_us: int, day: Day) -> Visit:
    """The same few items again and again, on the minute, to know when a price falls."""
    rng = shopper.rng
    visit = Visit(shopper, start_us, day)
    first = rng.randrange(len(catalogue.items) - POLLED_ITEMS)
    every_us = rng.choice((300, 600, 900)) * US
    for n in range(rng.randrange(8, 16)):
        for k in range(POLLED_ITEMS):
            at_us = start_us + n * every_us + k * 1_200_000 + rng.randrange(50_000)
            visit.add_of_item(at_us, "view", catalogue.items[first + k])
    return visit
