"""What a visitor types, in either language, at the stage of the visit."""

from spark_jobs.simulation.behaviour import MESSAGE_INTENT, QUERY_INTENT
from spark_jobs.simulation.visit import Utterance, Visit
from spark_jobs.simulation.vocabulary import MESSAGES, QUERIES, Category

OTHER_LANGUAGE_CHANCE = 0.06
DISAPPOINTED = ("complaint", "return_refund")


def speak(visit: Visit, category: Category, at_us: int, event_type: str) -> None:
    """Add a search or a message."""
    shopper = visit.shopper
    rng = shopper.rng
    language = shopper.language
    if rng.random() < OTHER_LANGUAGE_CHANCE:
        language = "en" if language == "zh" else "zh"
    is_search = event_type == "search"
    intents, texts = (QUERY_INTENT, QUERIES) if is_search else (MESSAGE_INTENT, MESSAGES)
    intent = intents[visit.stage].draw(rng)
    first = rng.randrange(len(category.brands))
    second = (first + rng.randrange(1, len(category.brands))) % len(category.brands)
    text = rng.choice(texts[intent][language]).format(
        what=category.what[language],
        brand=category.brands[first],
        other=category.brands[second],
        feature=rng.choice(category.features[language]),
        price=int(category.low + (category.high - category.low) * shopper.budget) // 10 * 10 + 10,
        order=rng.randrange(10_000_000, 99_999_999),
        n=rng.randrange(2, 15),
    )
    if is_search:
        event = visit.add(at_us, event_type, query=text, scenario="search")
    else:
        event = visit.add(at_us, event_type, text=text, scenario="service")
        shopper.disappointed |= intent in DISAPPOINTED
    visit.utterances.append(Utterance(event.event_id, event.user_id, language, intent, text))
