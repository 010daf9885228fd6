import msgspec
import pytest

from models.behavior.comparison import (
    Comparison,
    Judge,
    TargetComparison,
    compare_behavior,
    comparison_section,
    decide,
)
from models.behavior.metrics import Estimate
from models.document import markdown
from models.runtime.behavior import BehaviorModel
from models.runtime.calibration import Calibration
from models.runtime.row import RowBuilder
from tests.models.behavior.synthetic import Head, make_table


@pytest.fixture(scope="module")
def judge(parts):
    return Judge(BehaviorModel.load(parts.behavior), RowBuilder(Head()), parts.report.periods)


def overconfident(judge: Judge, target: str) -> Judge:
    """The same model but for one target, whose log-odds are four times what they should be."""
    spec = judge.model.spec
    known = spec.targets[target]
    c = known.calibration
    steep = Calibration("beta", 4 * c.a, 4 * c.b, 4 * c.c)
    changed = msgspec.structs.replace(
        spec, targets={**spec.targets, target: msgspec.structs.replace(known, calibration=steep)}
    )
    return judge._replace(model=BehaviorModel(changed, judge.model._sessions))


def compare(champion: Judge, challenger: Judge) -> Comparison:
    return Comparison("r-champion", *compare_behavior(champion, challenger, make_table(), seed=1))


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {t.target: t.verdict for t in comparison.targets}


def test_the_same_model_again_is_not_promoted(judge):
    comparison = compare(judge, judge)
    assert set(verdicts(comparison).values()) == {"no different beyond noise"}
    assert [t.gain.value for t in comparison.targets] == [0, 0, 0]
    decision = decide(comparison)
    assert not decision.promote and "no better than r-champion" in decision.why


def test_a_better_model_is_promoted_and_a_worse_one_is_not(judge):
    worse = overconfident(judge, "purchase")
    better = decide(comparison := compare(worse, judge))
    assert better.promote and "purchase" in better.why
    assert verdicts(comparison)["leave"] == "no different beyond noise"
    decision = decide(compare(judge, worse))
    assert not decision.promote and "worse" in decision.why and "purchase" in decision.why


def test_better_at_one_thing_does_not_make_up_for_worse_at_another(judge):
    decision = decide(compare(overconfident(judge, "purchase"), overconfident(judge, "leave")))
    assert not decision.promote and "leave" in decision.why


def test_only_sessions_that_neither_learned_from_are_compared_on(judge):
    table = make_table()
    comparison = compare(judge, judge)
    end = max(judge.periods["calibrate"][1], judge.periods["train"][1])
    assert comparison.period[0] > end
    assert {t.rows for t in comparison.targets} == {int((table["event_timestamp"] > end).sum())}
    knew_more = judge._replace(periods={**judge.periods, "calibrate": judge.periods["test"]})
    for champion, challenger in ((knew_more, judge), (judge, knew_more)):
        comparison = compare(champion, challenger)
        assert comparison.targets == () and comparison.period is None
        decision = decide(comparison)
        assert not decision.promote and "nothing to compare" in decision.why


def test_the_first_release_and_one_that_cannot_be_compared_are_promoted():
    assert decide(Comparison(None)).promote
    decision = decide(Comparison("r-old", obstacle="it was built for other definitions"))
    assert decision.promote and "other definitions" in decision.why


def test_the_section_says_what_was_decided_and_why():
    gain = TargetComparison("purchase", 0.5, 0.4, Estimate(0.1, 0.05, 0.15), 900, 300)
    comparison = Comparison("r-champion", (gain,), ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"))
    text = markdown(comparison_section(comparison, decide(comparison)))
    for part in ("Challenger promoted", "r-champion", "+0.1000 (+0.0500 to +0.1500)", "300 sessions", "svg"):
        assert part in text
