"""Sessions drawn from a stage model of known parameters, with the stage of each step."""

import random

from feature_repo.events import EVENT_TYPES
from feature_repo.sequence import Step
from feature_repo.windows import US
from models.runtime.stage import KINDS_OF, PAUSE_BOUNDS_S, Probabilities, StageParameters
from models.stage.sessions import StageSession

TYPE_OF_KIND = {kind: event_type for event_type, kinds in KINDS_OF.items() for kind in kinds}
PAUSE_S = dict(zip(range(5), (1, *PAUSE_BOUNDS_S), strict=True))


def draw(rng: random.Random, row: Probabilities) -> str:
    return rng.choices(list(row), list(row.values()))[0]


def made_up_sessions(
    parameters: StageParameters, count: int, seed: int, steps: int = 12
) -> tuple[list[StageSession], dict[str, str]]:
    rng, sessions, truth = random.Random(seed), [], {}
    for n in range(count):
        bought, at_us = rng.random() < 0.2, n * 3_600 * US
        stage = draw(rng, parameters.prior_after_purchase if bought else parameters.prior)
        made, ids, items = [], [], [1]
        for position in range(steps):
            kind = draw(rng, parameters.kinds[stage])
            if position:
                at_us += (
                    PAUSE_S[list(parameters.pauses[stage]).index(draw(rng, parameters.pauses[stage]))] * US
                )
            made.append(Step(at_us, EVENT_TYPES.index(TYPE_OF_KIND[kind]), _item(kind, items)))
            ids.append(f"e{n}-{position}")
            truth[ids[-1]] = stage
            turns = parameters.turns_after_purchase if kind == "purchase" else parameters.turns
            stage = draw(rng, turns[stage])
        sessions.append(StageSession(f"u{n}", "s", made, ids, bought))
    return sessions, truth


def _item(kind: str, items: list[int]) -> int:
    """An item that makes a look be of this kind, as far as the items before allow."""
    if kind.endswith("_new"):
        items.append(max(items) + 1)
    elif kind.endswith("_back") and len(items) > 2:
        items.append(items[-2])
    return items[-1] if kind.startswith(("view", "click")) else 0
