import msgspec
import numpy as np
import pyarrow as pa
import pytest

from models.behavior.calibration import fit_calibration
from models.behavior.candidates import Constant, Logistic, Trees, rising_columns
from models.behavior.dataset import TrainingError, dataset
from models.behavior.metrics import evaluate
from models.behavior.report import CAVEAT, BehaviorReport
from models.behavior.train import (
    best_fit,
    export,
    fit_candidates,
    fit_target,
    train_behavior,
)
from models.runtime.behavior import TARGETS, BehaviorModel
from models.runtime.row import NUMERIC, VECTOR, RowBuilder
from tests.models.behavior.synthetic import Head, make_table, service_values, unit_vectors

PROVENANCE = "made up by this test"
ROWS = RowBuilder(Head())


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("behavior")
    return folder, train_behavior(table, Head(), folder, seed=1, provenance=PROVENANCE)


def test_what_can_be_known_is_learned(trained):
    _, report = trained
    purchase = report.targets["purchase"]
    assert purchase.kind in ("logistic", "lightgbm")
    assert purchase.test.roc_auc.low > 0.6
    assert purchase.test.log_loss.value < purchase.test.base_rate_log_loss
    assert purchase.test.ece.value < 0.08
    assert purchase.kind == min(purchase.validation_log_loss, key=purchase.validation_log_loss.get)


def test_report_says_whose_data_it_is(trained):
    _, report = trained
    assert all(PROVENANCE in line and CAVEAT in line for line in report.lines())
    assert msgspec.structs.replace(report, provenance="real: rees46").caveat is None
    again = msgspec.json.decode(msgspec.json.encode(report), type=BehaviorReport)
    assert again == report


def test_served_probabilities_are_the_calibrated_models(table, trained):
    """What the report measured is what the exported files answer."""
    folder, report = trained
    data = dataset(table, ROWS)
    test = data.parts.test
    served = BehaviorModel.load(folder).probabilities(data.inputs[test])
    for target in TARGETS:
        y, prior = data.labels[target][test], report.targets[target].prior
        again = evaluate(y, served[target], data.session[test], prior, 1, resamples=5)
        assert again.log_loss.value == pytest.approx(report.targets[target].test.log_loss.value, abs=1e-5)


def test_same_table_and_seed_write_the_same_bytes(table, trained, tmp_path):
    folder, report = trained
    arrow = pa.Table.from_pandas(table.sample(frac=1, random_state=5), preserve_index=False)
    again = train_behavior(arrow, Head(), tmp_path, seed=1, provenance=PROVENANCE)
    assert again == report
    for file in folder.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_permuted_labels_teach_nothing(table):
    """If anything of the labels reached the inputs, this would rank above chance."""
    shuffled = table.copy()
    sessions = shuffled["session_id"].unique()
    other = dict(zip(sessions, np.random.default_rng(2).permutation(sessions), strict=True))
    by_session = dict(list(shuffled.groupby("session_id")["purchase"]))
    for session, at in shuffled.groupby("session_id").groups.items():
        shuffled.loc[at, "purchase"] = by_session[other[session]].to_numpy()
    data = dataset(shuffled, ROWS)
    test, y = data.parts.test, data.labels["purchase"]
    for candidate in fit_candidates("purchase", data, ROWS, seed=0):
        p = candidate.predict(data.inputs[test])
        auc = evaluate(y[test], p, data.session[test], 0.2, seed=0).roc_auc
        assert auc.low < 0.5 < auc.high, candidate.kind
    model, report = fit_target("purchase", data, ROWS, seed=0)
    assert (model.kind, report.kind) == ("prior", "prior")


def test_planted_leak_is_seen(table):
    """The counterpart of the test above: a label copied into a feature ranks perfectly."""
    leaked = table.copy()
    leaked["search_count_1h"] = 5 * leaked["purchase"]
    data = dataset(leaked, ROWS)
    _, report = fit_target("purchase", data, ROWS, seed=0)
    assert report.test.roc_auc.value > 0.99


def test_later_rows_never_reach_the_models(table):
    """Whatever the labels of the test part are, the models are the same; at most they are vetoed."""
    data = dataset(table, ROWS)
    flipped = {t: y.copy() for t, y in data.labels.items()}
    flipped["purchase"][data.parts.test] = 1 - flipped["purchase"][data.parts.test]
    other_data = data._replace(labels=flipped)
    fit, _ = best_fit("purchase", data, ROWS, seed=0)
    other, _ = best_fit("purchase", other_data, ROWS, seed=0)
    assert np.array_equal(fit.model.predict(data.inputs), other.model.predict(data.inputs))
    assert fit.calibration == other.calibration

    _, vetoed = fit_target("purchase", other_data, ROWS, seed=0)
    assert vetoed.kind == "prior"
    assert vetoed.why.startswith(f"{fit.model.kind} was not good enough: the low end of ROC-AUC")


def test_a_cart_raises_purchase(trained):
    folder, report = trained
    assert report.targets["purchase"].cart_raises > 0.95
    model = BehaviorModel.load(folder)
    views = {"session_view_count": 3, "session_event_count": 3, "view_count_10m": 3}
    carts = {f"add_to_cart_count_{w}": 1 for w in ("10m", "1h", "24h", "7d", "30d")}
    carts |= {"session_add_to_cart_count": 1, "session_event_count": 4, "session_cart_amount": 900}
    before = model.score(ROWS.row(service_values(views)))["purchase"]
    after = model.score(ROWS.row(service_values(views | carts)))["purchase"]
    assert after > before


def test_a_learned_dislike_of_carts_is_not_believed():
    """Labels say that carts prevent purchases; both candidates hold that they cannot."""
    rng = np.random.default_rng(0)
    inputs = np.zeros((4_000, len(ROWS.columns)), dtype=np.float32)
    cart = ROWS.columns.index("session_activity:session_add_to_cart_count")
    inputs[:, cart] = np.log1p(rng.integers(0, 3, 4_000))
    y = (rng.random(4_000) < np.where(inputs[:, cart] > 0, 0.1, 0.6)).astype(float)
    rising = rising_columns("purchase", ROWS.columns)
    assert rising[cart]
    more = inputs[:3].copy()
    more[:, cart] = np.log1p([0, 1, 2])
    for model in (
        Logistic(inputs, y, rising),
        Trees(inputs, y, rising, (inputs[:500], y[:500]), seed=0),
    ):
        assert (np.diff(model.predict(more)) >= 0).all(), model.kind
    assert not rising_columns("leave", ROWS.columns).any()


def test_rare_outcome_is_answered_by_its_base_rate(table, tmp_path):
    rare = table.copy()
    rare["add_to_cart"] = 0
    rare.loc[rare.index[:6], "add_to_cart"] = 1
    report = train_behavior(rare, Head(), tmp_path, seed=0, provenance=PROVENANCE)
    found = report.targets["add_to_cart"]
    assert found.kind == "prior"
    assert "are needed" in found.why
    answer = BehaviorModel.load(tmp_path).score(ROWS.row(service_values({"view_count_1h": 3})))
    assert answer["add_to_cart"] == pytest.approx(found.prior, abs=1e-6)
    assert 0 < found.prior < 0.01
    assert "base rate" in report.lines()[1]


@pytest.mark.parametrize("kind", ["logistic", "lightgbm", "prior"])
def test_graphs_answer_as_the_models(kind, table, tmp_path):
    data = dataset(table, ROWS)
    logistic, trees = fit_candidates("leave", data, ROWS, seed=0)
    constant = Constant(0.07, data.inputs.shape[1])
    model = {"logistic": logistic, "lightgbm": trees, "prior": constant}[kind]
    rng = np.random.default_rng(0)
    wild = rng.uniform(-1, 24, (1_000, data.inputs.shape[1])).astype(np.float32)
    export(model, tmp_path / "leave.onnx", data.inputs, wild)


def test_a_graph_that_answers_otherwise_is_refused(table, tmp_path):
    data = dataset(table, ROWS)
    model = Constant(0.07, data.inputs.shape[1])
    graph = model.graph()
    model.rate = 0.08
    model.graph = lambda: graph
    with pytest.raises(TrainingError, match=r"differs from the model by 0\.01"):
        export(model, tmp_path / "leave.onnx", data.inputs)


@pytest.mark.parametrize("n, kind", [(400, "platt"), (20_000, "beta")])
def test_calibration_undoes_a_distortion(n, kind):
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.7, n)
    y = (rng.random(n) < p).astype(float)
    odds = p / (1 - p)
    distorted = odds**2 / (1 + odds**2)
    found = fit_calibration(y, distorted)
    assert found.kind == kind
    assert np.abs(found.apply(distorted) - p).mean() < (0.06 if kind == "platt" else 0.02)
    assert (np.diff(found.apply(np.linspace(0, 1, 50))) > 0).all()


def test_missing_values_are_their_defaults(table):
    holed, filled = table.copy(), table.copy()
    holed.loc[::3, "view_count_1h"] = np.nan
    filled.loc[::3, "view_count_1h"] = 0
    assert np.array_equal(dataset(holed, ROWS).inputs, dataset(filled, ROWS).inputs)


def test_training_rows_are_the_rows_that_are_served(table):
    data = dataset(table, ROWS)
    ordered = table.sort_values(["event_timestamp", "user_id", "session_id"])
    for i in (0, 17, 400):
        record = ordered.iloc[i]
        values = service_values({f.name: record[f.name] for f in (*NUMERIC,)})
        values[-1] = record[VECTOR.name]
        assert np.allclose(ROWS.row(values).inputs[0], data.inputs[i], atol=1e-6)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda t: t.iloc[:0], "empty"),
        (lambda t: t.drop(columns=["leave", "view_count_7d"]), "lacks leave, view_count_7d"),
        (lambda t: t.assign(purchase=2), "label purchase must be 0 or 1"),
        (lambda t: t.iloc[:1], "too short a time"),
        (lambda t: t.assign(embedding=[[0.1, 0.2]] * len(t)), "2 numbers, expected 384"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(table, tmp_path, spoil, message):
    with pytest.raises(ValueError, match=message):
        train_behavior(spoil(table), Head(), tmp_path, seed=0, provenance=PROVENANCE)


def test_vectors_of_recent_text_inform_purchase(trained):
    """The made-up shoppers who ask for prices buy more."""
    model = BehaviorModel.load(trained[0])
    vectors = unit_vectors(np.random.default_rng(4), 60)
    asked = Head().predict(vectors).argmax(axis=1)
    scores = np.array(
        [
            model.score(ROWS.row(service_values({"session_view_count": 2, VECTOR.name: v})))["purchase"]
            for v in vectors
        ]
    )
    assert scores[asked == 1].mean() > 1.3 * scores[asked != 1].mean()
