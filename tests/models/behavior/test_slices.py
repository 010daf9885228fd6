import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.behavior.baselines import BASE_RATE, COUNTS, counts_only
from models.behavior.dataset import dataset
from models.behavior.slices import MIN_SLICE_SESSIONS, Prediction, measure_slices
from models.runtime.row import NUMERIC, RowBuilder
from tests.models.behavior.synthetic import Head, make_table


@pytest.fixture(scope="module")
def visits():
    """300 sessions whose rows stand after 1, 2, ... events; the model knows more the later it is."""
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 9, 300)
    session = np.repeat(np.arange(300), lengths)
    seen = np.concatenate([np.arange(1, n + 1) for n in lengths])
    y = (rng.random(300) < 0.4).astype(float)[session]
    p = 1 / (1 + np.exp(-(0.4 * seen * (2 * y - 1) + rng.normal(0, 2, len(y)))))
    return y, session, seen, p


@pytest.fixture(scope="module")
def slices(visits):
    y, session, seen, p = visits
    base = Prediction(np.full(len(y), 0.4), 0.5)
    return measure_slices(y, session, seen, Prediction(p, 0.5), {BASE_RATE: base}, 0.4, seed=0)


def test_a_slice_holds_the_rows_after_exactly_so_many_events(visits, slices):
    y, session, seen, p = visits
    assert [s.events for s in slices] == [None, 1, 3, 5, 10]
    assert (slices[0].rows, slices[0].sessions) == (len(y), 300)
    for part in slices[1:4]:
        at = seen == part.events
        assert part.rows == part.sessions == at.sum() == len(np.unique(session[at]))
        assert part.positives == y[at].sum()
        assert part.test.roc_auc.value == pytest.approx(roc_auc_score(y[at], p[at]))
    assert slices[3].test.roc_auc.low > slices[1].test.roc_auc.high


def test_too_few_sessions_are_said_instead_of_measured(slices):
    assert (slices[4].sessions, slices[4].test, slices[4].roc) == (0, None, None)
    assert slices[4].too_few == f"0 sessions with a positive row, {MIN_SLICE_SESSIONS} are needed"


def test_sessions_without_a_count_are_in_all_rows_only(visits, slices):
    y, session, seen, p = visits
    unknown = np.where(session < 150, 0, seen)
    found = measure_slices(y, session, unknown, Prediction(p, 0.5), {}, 0.4, seed=0)
    assert found[0].test == slices[0].test
    assert found[1].sessions == 150


def test_a_baseline_is_measured_on_the_same_rows(slices):
    for part in slices[:4]:
        base = part.baselines[BASE_RATE]
        assert (base.test.rows, base.test.sessions) == (part.rows, part.sessions)
        gain = base.test.log_loss.value - part.test.log_loss.value
        assert base.gain.value == pytest.approx(gain)
    assert slices[3].baselines[BASE_RATE].gain.low > 0


def test_a_model_with_one_answer_has_no_curves(visits):
    y, session, seen, _ = visits
    base = Prediction(np.full(len(y), 0.4), 0.5)
    for part in measure_slices(y, session, seen, base, {}, 0.4, seed=0)[:4]:
        assert (part.roc, part.precision_recall) == (None, None)
        assert part.test.precision is None


def test_the_counts_baseline_reads_counts_of_events_only():
    table = make_table(sessions=400)
    rows = RowBuilder(Head())
    other = [f.name for i, f in enumerate(NUMERIC) if i not in COUNTS]
    assert "session_cart_amount" in other
    assert "session_view_count" not in other
    changed = table.assign(**{name: 0.0 for name in other}, embedding=None)
    found, without = (counts_only("leave", dataset(t, rows), rows.columns) for t in (table, changed))
    assert np.array_equal(found.p, without.p)
    assert len(np.unique(found.p)) > 1
