import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from models.utterance.dataset import Labelled
from models.utterance.evaluation import calibration_error, evaluate, utterance_section


def test_figures_are_those_of_scikit_learn_and_name_their_data():
    rng = np.random.default_rng(0)
    intents = ("a", "b", "c", "unused")
    target = rng.integers(3, size=200)
    probabilities = rng.dirichlet(np.ones(4), size=200)
    probabilities[np.arange(200), target] += 0.5
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    languages = ["en", "zh"] * 100
    rows = [
        Labelled(f"t{i}", intents[t], language)
        for i, (t, language) in enumerate(zip(target, languages, strict=True))
    ]
    found = evaluate(probabilities, rows, intents, "made up", "nobody")
    guess = probabilities.argmax(axis=1)
    expected = f1_score(target, guess, labels=[0, 1, 2], average="macro")
    assert found["accuracy"] == pytest.approx((guess == target).mean(), abs=1e-4)
    assert found["macro_f1"] == pytest.approx(expected, abs=1e-4)
    assert found["accuracy_95"][0] < found["accuracy"] < found["accuracy_95"][1]
    assert found["macro_f1_95"][0] < found["macro_f1"] < found["macro_f1_95"][1]
    english = (guess == target)[::2].mean()
    assert found["accuracy_by_language"]["en"] == pytest.approx(english, abs=1e-4)
    assert np.sum(found["confusion"]) == found["rows"] == 200
    assert (found["data"], found["author"]) == ("made up", "nobody")


def test_an_interval_is_wider_when_rows_come_from_few_templates():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(40) < 0.7, 10)
    probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])

    def width(template):
        rows = [Labelled(f"t{i}", "a", "", template(i)) for i in range(400)]
        low, high = evaluate(probabilities, rows, ("a", "b"), "d", "w")["accuracy_95"]
        return high - low

    assert width(lambda i: f"{i // 10}") > 2 * width(lambda i: f"{i}")


def test_a_label_the_model_does_not_know_is_refused():
    with pytest.raises(ValueError, match="labels z are no intents"):
        evaluate(np.ones((1, 2)) / 2, [Labelled("t", "z")], ("a", "b"), "d", "w")


def test_calibration_error_by_hand():
    # two at 0.9, one right: gap 0.4; two at 0.6, both right: gap 0.4
    confidence = np.array([0.9, 0.9, 0.6, 0.6])
    assert calibration_error(confidence, np.array([1, 0, 1, 1])) == pytest.approx(0.4)


def test_each_intent_has_the_figures_of_scikit_learn():
    rng = np.random.default_rng(4)
    intents = ("a", "b", "never asked for")
    target = rng.integers(2, size=300)
    probabilities = rng.dirichlet(np.ones(3), size=300)
    probabilities[np.arange(300), target] += 0.4
    rows = [Labelled(f"t{i}", intents[t], "zh") for i, t in enumerate(target)]
    found = evaluate(probabilities, rows, intents, "made up", "nobody")
    guess = probabilities.argmax(axis=1)
    expected = precision_recall_fscore_support(target, guess, labels=[0, 1])
    for i, intent in enumerate(intents[:2]):
        by_intent = found["by_intent"][intent]
        for name, values in zip(("precision", "recall", "f1", "rows"), expected, strict=True):
            assert by_intent[name] == pytest.approx(values[i], abs=1e-4)
        assert by_intent["f1_95"][0] < by_intent["f1"] < by_intent["f1_95"][1]
    assert "never asked for" not in found["by_intent"]
    section = utterance_section("test", found)
    assert f"{found['by_intent']['a']['f1']:.3f}" in section.tables[0].rows[0][-1]
    assert section.tables[1].rows[0][1:] == tuple(map(str, found["confusion"][0]))


def test_an_intent_that_is_never_answered_has_no_precision():
    rows = [Labelled(f"t{i}", "ab"[i % 2]) for i in range(20)]
    found = evaluate(np.tile([0.9, 0.1], (20, 1)), rows, ("a", "b"), "d", "w")["by_intent"]["b"]
    assert (found["precision"], found["precision_95"]) == (None, [None, None])
    assert (found["recall"], found["f1"]) == (0.0, 0.0)
