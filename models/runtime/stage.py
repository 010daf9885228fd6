"""Where in the visit the shopper is: a hidden Markov model followed event by event.

The hidden state is one of STAGES, what is seen of it are the session's steps. Each step updates the
probabilities by the forward recursion (L. Rabiner, "A tutorial on hidden Markov models and selected
applications in speech recognition", Proceedings of the IEEE 77(2), 1989, section III.A), scaled to sum
to 1. Nobody labels stages in a log: parameters are declared here and refined without labels by
`models.stage`, and what is answered is inferred.

What is seen of a step is its kind (its type, and what its item was to the session before) and the pause
before it, taken as independent given the stage. How stages follow one another depends on whether the
step before was a purchase; the purchases of one order are one step. A session longer than
sequence.STEP_LIMIT is followed from its oldest step still kept, as if it began there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from feature_repo.events import EVENT_TYPES
from feature_repo.sequence import EVENT_CODES, NO_ITEM
from feature_repo.windows import US

STAGES = ("explore", "compare", "decide", "get_help", "after_purchase")

LOOKS = ("view", "click")
ITEMS = ("new", "same", "back")
"""Of a look at an item: the session's first step on it, another on the item of the step on an item before,
or a return to an earlier one."""

KINDS_OF = {t: tuple(f"{t}_{item}" for item in ITEMS) if t in LOOKS else (t,) for t in EVENT_TYPES}
KINDS = tuple(kind for kinds in KINDS_OF.values() for kind in kinds)

PAUSE_BOUNDS_S = (5, 15, 45, 150)
PAUSES = ("under_5s", "under_15s", "under_45s", "under_150s", "longer")

_FIRST_KIND = {EVENT_CODES[t]: KINDS.index(kinds[0]) for t, kinds in KINDS_OF.items()}
_LOOK_CODES = frozenset(EVENT_CODES[t] for t in LOOKS)
_PURCHASE = KINDS.index("purchase")
_PAUSE_BOUNDS_US = tuple(bound * US for bound in PAUSE_BOUNDS_S)

# Without a session: how many events of the last hour are believed at most, in no order.
COUNTED_EVENTS = 8.0
COUNTED_WINDOW = "1h"
# The recent text is of no certain age, and may be what is typed now: it counts for half, as a power.
RECENT_TEXT_POWER = 0.5

Probabilities = dict[str, float]


class StageParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditional probabilities by name.

    `prior` of a session's first stage: for a shopper who bought nothing in the last days, and for one
    who did. `turns`: from a stage to the next step's; `turns_after_purchase`: if the step was one.
    `text`: how much likelier than on the whole an intent is to be voiced in each stage.
    `origin` says where the numbers come from.
    """

    origin: str
    prior: Probabilities
    prior_after_purchase: Probabilities
    turns: dict[str, Probabilities]
    turns_after_purchase: dict[str, Probabilities]
    kinds: dict[str, Probabilities]
    pauses: dict[str, Probabilities]
    text: dict[str, Probabilities]

    def __post_init__(self) -> None:
        _check("prior", self.prior, STAGES)
        _check("prior_after_purchase", self.prior_after_purchase, STAGES)
        for name, outcomes in (
            ("turns", STAGES),
            ("turns_after_purchase", STAGES),
            ("kinds", KINDS),
            ("pauses", PAUSES),
        ):
            rows: dict[str, Probabilities] = getattr(self, name)
            if tuple(rows) != STAGES:
                raise ValueError(f"stage parameters: {name} is not by {', '.join(STAGES)}")
            for stage, row in rows.items():
                _check(f"{name} of {stage}", row, outcomes)
        for intent, ratios in self.text.items():
            if tuple(ratios) != STAGES or min(ratios.values()) <= 0:
                raise ValueError(f"stage parameters: text of {intent} is not above 0 for each stage")


def _check(name: str, row: Probabilities, outcomes: tuple[str, ...]) -> None:
    if tuple(row) != outcomes:
        raise ValueError(f"stage parameters: {name} is not by {', '.join(outcomes)}")
    if min(row.values()) <= 0 or abs(sum(row.values()) - 1) > 1e-6:
        raise ValueError(f"stage parameters: {name} are not probabilities above 0 that sum to 1")


def _row(names: tuple[str, ...], *weights: float) -> Probabilities:
    total = sum(weights)
    return {name: weight / total for name, weight in zip(names, weights, strict=True)}


def _table(names: tuple[str, ...], *rows: Sequence[float]) -> dict[str, Probabilities]:
    return {stage: _row(names, *row) for stage, row in zip(STAGES, rows, strict=True)}


def _ratios(**rows: Sequence[float]) -> dict[str, Probabilities]:
    return {intent: dict(zip(STAGES, row, strict=True)) for intent, row in rows.items()}


# Rows: explore, compare, decide, get_help, after_purchase. Weights, in hundredths or thousandths of what
# one would expect of a shop; each row is divided by its sum.
_AFTER_PURCHASE = (25, 2, 15, 3, 55)
DECLARED = StageParameters(
    origin="declared",
    prior=_row(STAGES, 55, 22, 13, 8, 2),
    prior_after_purchase=_row(STAGES, 45, 18, 14, 8, 15),
    turns=_table(
        STAGES,
        (900, 60, 30, 8, 2),
        (50, 850, 80, 15, 5),
        (30, 60, 870, 20, 20),
        (40, 40, 60, 840, 20),
        (60, 10, 10, 20, 900),
    ),
    turns_after_purchase=_table(STAGES, *[_AFTER_PURCHASE] * len(STAGES)),
    #   view: new same back, search, click: new same back, add, remove, wishlist, checkout, purchase, message
    kinds=_table(
        KINDS,
        (450, 30, 50, 180, 200, 10, 20, 15, 5, 30, 3, 2, 5),
        (250, 100, 200, 170, 100, 30, 50, 30, 15, 30, 5, 3, 17),
        (150, 160, 60, 100, 80, 50, 20, 170, 20, 20, 90, 70, 10),
        (200, 60, 60, 120, 60, 20, 20, 10, 5, 5, 5, 5, 430),
        (120, 100, 60, 60, 40, 25, 15, 5, 3, 5, 3, 4, 560),
    ),
    pauses=_table(
        PAUSES,
        (22, 25, 28, 17, 8),
        (16, 24, 32, 20, 8),
        (14, 22, 30, 22, 12),
        (8, 16, 30, 28, 18),
        (8, 16, 30, 28, 18),
    ),
    text=_ratios(
        search=(1.3, 0.9, 0.9, 0.5, 0.4),
        compare=(0.5, 4.0, 0.5, 0.4, 0.1),
        price=(0.7, 1.4, 1.7, 0.8, 0.1),
        availability=(0.5, 0.7, 1.8, 1.4, 0.3),
        payment=(0.2, 0.3, 1.8, 2.5, 0.7),
        order_status=(0.1, 0.1, 0.2, 1.5, 6.0),
        return_refund=(0.1, 0.1, 0.2, 1.5, 5.0),
        complaint=(0.1, 0.2, 0.2, 3.0, 3.0),
    ),
)  # fmt: skip


class Observed(NamedTuple):
    """What is seen of a step: positions in KINDS and PAUSES. No pause before a session's first step."""

    kind: int
    pause: int | None


def observed(steps: Iterable[tuple[int, int, int]]) -> list[Observed | None]:
    """What is seen of each of a session's steps, in order; None of a purchase in the order of the purchase
    right before it."""
    seen: set[int] = set()
    last_item, last_us, before = NO_ITEM, None, None
    found: list[Observed | None] = []
    for at_us, event_type, item in steps:
        kind = _FIRST_KIND[event_type]
        if item in seen and event_type in _LOOK_CODES:
            kind += 1 if item == last_item else 2
        if item != NO_ITEM:
            seen.add(item)
            last_item = item
        pause = None if last_us is None else sum(at_us - last_us >= bound for bound in _PAUSE_BOUNDS_US)
        of_one_order = kind == before == _PURCHASE and pause == 0
        found.append(None if of_one_order else Observed(kind, pause))
        last_us, before = at_us, kind
    return found


class StageModel:
    def __init__(self, parameters: StageParameters = DECLARED) -> None:
        self.parameters = parameters
        self._priors = tuple(tuple(p.values()) for p in (parameters.prior, parameters.prior_after_purchase))
        turns, after = (
            [[row[stage] for row in table.values()] for stage in STAGES]  # into each stage, from all
            for table in (parameters.turns, parameters.turns_after_purchase)
        )
        self._turns = [after if kind == _PURCHASE else turns for kind in range(len(KINDS))]
        self._kinds = [[parameters.kinds[s][k] for s in STAGES] for k in KINDS]
        self._pauses = [[parameters.pauses[s][p] for s in STAGES] for p in PAUSES]

    @classmethod
    def load(cls, path: Path) -> "StageModel":
        """From StageParameters as JSON. Raises msgspec.DecodeError or OSError."""
        return cls(msgspec.json.decode(path.read_bytes(), type=StageParameters))

    def after_each(self, steps: Iterable[tuple[int, int, int]], bought_before: bool) -> list[list[float]]:
        """The probability of each stage at each step, as known with that step."""
        return [at_step for at_step, _ in self._followed(observed(steps), bought_before)]

    def probabilities(
        self,
        steps: Sequence[tuple[int, int, int]],
        values: Mapping[str, object],
        typed: Mapping[str, float] | None = None,
        recent_text: Mapping[str, float] | None = None,
    ) -> Probabilities:
        """The stage in which the shopper goes on after a session's steps, which are in order.

        `values`: features by reference, an absent one counts as 0: they say whether the shopper bought
        before and, where there are no steps, what was done in the last hour. `typed`, `recent_text`:
        probabilities of utterance intents; an intent without declared evidence is none.
        """
        bought = _number(values.get("session_activity:session_purchase_count"))
        bought_before = _number(values.get("user_activity:purchase_count_7d")) > bought
        if steps:
            *_, (_, state) = self._followed(observed(steps), bought_before)
        else:
            state = self._counted(values, bought_before)
        state = self._told(state, typed, 1.0)
        state = self._told(state, recent_text, RECENT_TEXT_POWER)
        return dict(zip(STAGES, state, strict=True))

    def _followed(
        self, seen: Iterable[Observed | None], bought_before: bool
    ) -> Iterator[tuple[list[float], list[float]]]:
        """The stage at each step, and the one in which the shopper goes on after it."""
        at_step: list[float] = []
        onward = list(self._priors[bought_before])
        for step in seen:
            if step is not None:
                at_step = _product(onward, self._kinds[step.kind])
                if step.pause is not None:
                    at_step = _product(at_step, self._pauses[step.pause])
                at_step = _normalised(at_step)
                onward = _turned(at_step, self._turns[step.kind])
            yield at_step, onward

    def _counted(self, values: Mapping[str, object], bought_before: bool) -> list[float]:
        """Events without a session: their kinds in no order, as one stage would have them."""
        counts = {
            event_type: _number(values.get(f"user_activity:{event_type}_count_{COUNTED_WINDOW}"))
            for event_type in EVENT_TYPES
        }
        total = sum(counts.values())
        state = list(self._priors[bought_before])
        if not total:
            return state
        believed = min(1.0, COUNTED_EVENTS / total)
        for event_type, count in counts.items():
            kinds = [KINDS.index(kind) for kind in KINDS_OF[event_type]]
            power = count * believed
            state = [p * sum(self._kinds[k][s] for k in kinds) ** power for s, p in enumerate(state)]
        state = _normalised(state)
        if counts["purchase"]:
            state = _turned(state, self._turns[_PURCHASE])
        return state

    def _told(self, state: list[float], intents: Mapping[str, float] | None, power: float) -> list[float]:
        if not intents:
            return state
        text = self.parameters.text
        factors = [
            sum(p * (text[intent][stage] if intent in text else 1.0) for intent, p in intents.items())
            for stage in STAGES
        ]
        return _normalised([p * factor**power for p, factor in zip(state, factors, strict=True)])


def _product(left: Sequence[float], right: Sequence[float]) -> list[float]:
    return [a * b for a, b in zip(left, right, strict=True)]


def _turned(state: Sequence[float], turns: Sequence[Sequence[float]]) -> list[float]:
    """`turns`: into each stage, from all."""
    return [sum(p * turn for p, turn in zip(state, into, strict=True)) for into in turns]


def _normalised(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [w / total for w in weights]


def _number(value: object) -> float:
    return max(0.0, float(value)) if isinstance(value, int | float) else 0.0
