"""Where in the visit the shopper is: a declared rule, inferred without labels.

No log says which stage a shopper was in, so nothing here is learned. A stage's score is
log-linear in a few pieces of evidence (a naive-Bayes reading: the bias is the log prior, each
weight the log-likelihood ratio that one unit of evidence brings); the probabilities are the
softmax over stages.
"""

import math
from collections.abc import Mapping

STAGES = ("explore", "compare", "decide", "get_help", "after_purchase")

_EXPLORING_TEXT = ("search",)
_COMPARING_TEXT = ("compare",)
_DECIDING_TEXT = ("price", "availability", "payment")
_HELP_TEXT = ("complaint", "return_refund", "order_status")
_AFTER_TEXT = ("order_status", "return_refund")

BIAS = {"explore": 1.0, "compare": -0.2, "decide": -1.0, "get_help": -2.0, "after_purchase": -2.5}

# Evidence is `log1p` of a count, or a probability.
WEIGHTS: dict[str, dict[str, float]] = {
    "searches": {"explore": 0.5, "compare": 0.3},
    "views": {"compare": 0.6, "explore": 0.1},
    "carts": {"decide": 2.5, "compare": 0.3},
    "carts_removed": {"compare": 1.0},
    "checkouts": {"decide": 3.0},
    "purchases": {"after_purchase": 6.0, "decide": -3.0, "compare": -1.0},
    "purchases_before": {"after_purchase": 1.0},
    "messages": {"get_help": 3.5},
    "purchase_probability": {"decide": 3.0},
    "text_explore": {"explore": 1.5},
    "text_compare": {"compare": 3.0},
    "text_decide": {"decide": 2.0},
    "text_help": {"get_help": 3.5},
    "text_after": {"after_purchase": 1.5},
}


def stage_probabilities(
    values: Mapping[str, object],
    behavior: Mapping[str, float],
    text_intents: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Probabilities over STAGES, from feature values by reference, the behaviour model's answer
    and, where there is any text, its utterance intents' probabilities. An absent value counts as
    0."""
    evidence = _evidence(values, behavior, text_intents or {})
    scores = dict(BIAS)
    for name, weights in WEIGHTS.items():
        for stage, weight in weights.items():
            scores[stage] += weight * evidence[name]
    highest = max(scores.values())
    weights = {stage: math.exp(scores[stage] - highest) for stage in STAGES}
    total = sum(weights.values())
    return {stage: weight / total for stage, weight in weights.items()}


def _evidence(
    values: Mapping[str, object], behavior: Mapping[str, float], intents: Mapping[str, float]
) -> dict[str, float]:
    def session(event_type: str) -> float:
        return _number(values.get(f"session_activity:session_{event_type}_count"))

    def recent(event_type: str, window: str) -> float:
        return _number(values.get(f"user_activity:{event_type}_count_{window}"))

    def text(*names: str) -> float:
        return sum(intents.get(name, 0.0) for name in names)

    purchases = max(session("purchase"), recent("purchase", "1h"))
    return {
        "searches": math.log1p(max(session("search"), recent("search", "1h"))),
        "views": math.log1p(max(session("view"), recent("view", "1h"))),
        "carts": math.log1p(max(session("add_to_cart"), recent("add_to_cart", "1h"))),
        "carts_removed": math.log1p(max(session("remove_from_cart"), recent("remove_from_cart", "1h"))),
        "checkouts": math.log1p(recent("checkout", "1h")),
        "purchases": math.log1p(purchases),
        "purchases_before": math.log1p(max(0.0, recent("purchase", "7d") - purchases)),
        "messages": math.log1p(max(session("message"), recent("message", "1h"))),
        "purchase_probability": behavior.get("purchase", 0.0),
        "text_explore": text(*_EXPLORING_TEXT),
        "text_compare": text(*_COMPARING_TEXT),
        "text_decide": text(*_DECIDING_TEXT),
        "text_help": text(*_HELP_TEXT),
        "text_after": text(*_AFTER_TEXT),
    }


def _number(value: object) -> float:
    return max(0.0, float(value)) if isinstance(value, int | float) else 0.0
