"""A log in, scored shoppers out, with real processes: Redis, Spark, Dagster, Feast, the API.

The tests share one installation and go on from one another, in the order they stand in.
"""

import csv
import json
import random
import re
import shutil
import subprocess
import sys
import threading
from datetime import date

import msgspec
import pyarrow.parquet as pq
import pytest
import redis

from feature_repo.behavior import SERVICE_FEATURES, USER_ACTIVITY
from feature_repo.events import DoorPolicy, Event, LedgerEvent, admit, arrival_on_event_clock, rfc3339, to_us
from models.utterance.dataset import own_rows
from orchestration import releases
from orchestration.resources import Platform
from spark_jobs.lake import Lake
from tests.end_to_end.installation import ROOT, Installation
from tests.oracle import brute_force

USERS, DAYS, SEED = 500, 3, 7
SCORES = 1_000
SECOND = 1_000_000


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    own_list = tmp_path_factory.mktemp("utterances") / "utterances.csv"
    with own_list.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "intent"))
        rows.writerows((row.text, row.intent) for row in own_rows()[::8])
    installation = Installation(
        tmp_path_factory.mktemp("state"),
        INTENT_CLOCK="event",
        INTENT_UTTERANCES=str(own_list),
    )
    yield installation
    installation.stop()


@pytest.fixture(scope="module")
def log(platform, tmp_path_factory):
    out = tmp_path_factory.mktemp("log")
    arguments = {"--users": USERS, "--days": DAYS, "--seed": SEED, "--out": out}
    platform.intent("simulate", *(str(part) for pair in arguments.items() for part in pair))
    return out / "events.jsonl"


@pytest.fixture(scope="module")
def materialized(platform, log):
    """The log imported and materialized: what `import` and `materialize` printed."""
    return platform.intent("import", str(log)), platform.intent("materialize")


@pytest.fixture(scope="module")
def api(platform, materialized):
    with platform.api() as client:
        yield client


@pytest.fixture(scope="module")
def known(platform, materialized) -> list[LedgerEvent]:
    """Every event the platform has accepted so far; tests that post add to it."""
    return ledger_of(Lake(platform.settings.lake))


def ledger_of(lake: Lake) -> list[LedgerEvent]:
    names = LedgerEvent.__struct_fields__
    times = {"event_time", "claimed_time", "received_at"}
    rows = (row for path in lake.ledger_files() for row in pq.read_table(path).to_pylist())
    return [LedgerEvent(*(to_us(r[n]) if n in times else r[n] for n in names)) for r in rows]


def post(api, known: list[LedgerEvent], *events: dict) -> None:
    answer = api.post("/v1/events", json={"events": list(events)}).json()
    assert answer["accepted"] == len(events), answer
    clock = max(e.event_time for e in known)
    for sent in events:
        event = msgspec.convert(sent, Event)
        arrived = arrival_on_event_clock(clock, to_us(event.event_time), 10**9)
        known.append(admit(event, arrived, DoorPolicy()))
        clock = max(clock, arrived)


def activity(api, users: list[str]) -> tuple[dict[str, dict[str, int]], int]:
    """Every window of these shoppers as the API answers them now, and the instant it says that is."""
    body = {"features": [f.reference for f in USER_ACTIVITY], "entities": {"user_id": users}}
    answer = api.post("/v1/features", json=body).json()
    columns = [result["values"] for result in answer["results"]]
    names = [f.name for f in USER_ACTIVITY]
    as_of = to_us(msgspec.convert(answer["as_of"], type=Event.__annotations__["event_time"]))
    return {u: dict(zip(names, (c[i] for c in columns), strict=True)) for i, u in enumerate(users)}, as_of


def score(api, user_id: str, **more) -> dict:
    answer = api.post("/v1/score", json={"user_id": user_id, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_row_of_the_log_is_accounted_for(materialized):
    imported, made = materialized
    quarantined = sum(imported["quarantined"].values())
    assert imported["read"] == imported["accepted"] + imported["duplicates"] + quarantined > 2_000
    assert len(made["days"]) == DAYS and made["release"] and made["rows"]["user_activity"] > 0


def test_a_second_materialization_finds_nothing_to_do(platform, materialized):
    again = platform.intent("materialize")
    assert again["days"] == []


def test_served_features_are_what_counting_the_events_gives(api, known):
    users = sorted({e.user_id for e in known})[:60]
    served, as_of = activity(api, users)
    for user in users:
        assert served[user] == brute_force.window_values(known, "user", user, as_of), user


def test_an_event_counts_at_the_next_read_and_a_repeat_does_not(api, known):
    now = max(e.event_time for e in known)
    sent = {
        "event_id": "fresh-1",
        "user_id": "fresh",
        "session_id": "f1",
        "event_type": "view",
        "event_time": rfc3339(now + SECOND),
        "item_id": "sku-1",
    }
    post(api, known, sent)
    answer = api.post("/v1/events", json={"events": [sent]}).json()
    assert (answer["accepted"], answer["duplicates"]) == (0, 1)
    served, as_of = activity(api, ["fresh"])
    assert served["fresh"] == brute_force.window_values(known, "user", "fresh", as_of)
    assert served["fresh"]["view_count_10m"] == 1


def test_a_cart_never_lowers_purchase(api, known):
    now = max(e.event_time for e in known)
    base = {"user_id": "walker", "session_id": "w1", "item_id": "sku-1"}
    views = [
        {**base, "event_id": f"v{n}", "event_type": "view", "event_time": rfc3339(now + n * SECOND)}
        for n in range(3)
    ]
    post(api, known, *views)
    before = score(api, "walker", session_id="w1")
    cart = {"event_id": "c1", "event_type": "add_to_cart", "price": 4_900}
    post(api, known, {**base, **cart, "event_time": rfc3339(now + 5 * SECOND)})
    after = score(api, "walker", session_id="w1", explain=True)
    # On so small a log the base rate may be no worse than anything learned, and then it is served.
    assert after["behavior"]["purchase"] >= before["behavior"]["purchase"]


def test_an_unknown_shopper_is_scored_from_priors(api):
    answer = score(api, "never-seen", query="退货怎么操作")
    assert answer["degraded"] and len(answer["features"]["missing"]) == len(SERVICE_FEATURES)
    assert answer["utterance"]["intent"] == "return_refund"


def test_bad_input_is_refused_by_name_and_keeps_nothing(api):
    bad = {"event_id": "b1", "user_id": "u", "event_type": "stare", "event_time": "2026-03-01T00:00:00Z"}
    answer = api.post("/v1/events", json={"events": [bad]}).json()
    assert answer["accepted"] == 0 and "event_type" in answer["rejected"][0]["message"]
    assert api.post("/v1/score", content=b"{").json()["error"]["code"]
    assert api.post("/v1/score", json={"user": "u"}).status_code == 422


def test_served_inputs_are_reproduced_by_historical_retrieval(platform, api, known):
    """A thousand scores among newly posted events; then all lands, and the lake and Feast are asked."""
    rng = random.Random(5)
    by_user: dict[str, list[str]] = {}
    for event in known:
        if event.session_id and event.personal:
            by_user.setdefault(event.user_id, []).append(event.session_id)
    shoppers, now = sorted(by_user), max(e.event_time for e in known)
    for n in range(SCORES):
        user = rng.choice(shoppers)
        session = rng.choice(by_user[user][-3:])
        if n % 5 == 0:
            now += rng.randrange(1, 40 * SECOND)
            kind = rng.choice(("view", "search", "add_to_cart", "purchase", "message"))
            words = {"query": "running shoes"} if kind == "search" else {}
            event = {"event_id": f"live-{n}", "user_id": user, "event_type": kind, "price": n, **words}
            post(api, known, {**event, "session_id": session, "event_time": rfc3339(now)})
        score(api, user, session_id=session)
    made = platform.intent("materialize")
    assert made["days"]
    for through in ((), ("--feast",)):
        verified = platform.intent("verify", "--scores", str(SCORES), *through)
        assert verified["mismatches"] == {}, verified["examples"]
        assert verified["scores"] == SCORES and verified["features"] == len(SERVICE_FEATURES)


def test_numbers_stay_the_same_across_the_cut_over(api, known):
    """What was live is in the base now; nothing is in both or in neither."""
    users = sorted({e.user_id for e in known})
    served, as_of = activity(api, users)
    for user in users:
        assert served[user] == brute_force.window_values(known, "user", user, as_of), user


def test_a_release_is_promoted_and_rolled_back_while_serving(platform, api):
    installed = Platform(platform.settings)
    first = releases.served(installed)
    second = releases.build(installed, date(2026, 1, 2))
    failures, stop = [], threading.Event()

    def keep_scoring():
        while not stop.is_set():
            answer = api.post("/v1/score", json={"user_id": "walker"})
            if answer.status_code != 200:
                failures.append(answer.text)

    thread = threading.Thread(target=keep_scoring)
    thread.start()
    try:
        platform.intent("release", "promote", second)
        await_release(api, second)
        platform.intent("release", "rollback")
        await_release(api, first.id)
    finally:
        stop.set()
        thread.join()
    assert not failures


def await_release(api, release_id: str) -> None:
    import time

    deadline = time.monotonic() + 20
    while score(api, "walker")["release"] != release_id:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_another_team_builds_its_churn_set_as_documented(platform, materialized, tmp_path):
    """The notebook and the page beside it, on the three days of the log: a day stands for a week."""
    notebook = json.loads((ROOT / "docs" / "churn.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    page = (ROOT / "docs" / "reuse-features.md").read_text()
    (documented,) = (b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "cuts as" in b)
    script = tmp_path / "churn.py"
    script.write_text(
        "\n".join(cells).replace("HORIZON_DAYS = 7", "HORIZON_DAYS = 1")
        + "\nof_notebook = training\n"
        + documented.replace("7 days", "1 days")
        + "\nassert len(of_notebook) > 50 and 0 < of_notebook.churned.mean() < 1\n"
        + "assert not of_notebook[columns].isna().any().any()\n"
        + "assert len(training) >= len(of_notebook) and training.frequency.min() == 0\n"
    )
    environment = {**platform.environment, "MPLBACKEND": "Agg"}
    ended = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    assert "ROC-AUC on" in ended.stdout


def test_a_corrupted_day_stops_before_feast_and_what_is_served_stays(platform, api):
    lake = Lake(platform.settings.lake)
    day = max(lake.ledger_days())
    (victim, *_) = lake.ledger_files([day])
    kept = victim.with_suffix(".kept")
    shutil.copy(victim, kept)
    table = pq.read_table(victim)
    prices = table.column("price").to_pylist()
    prices[0] = -5
    column = table.schema.get_field_index("price")
    pq.write_table(table.set_column(column, table.schema.field(column), [prices]), victim)
    before = stored(platform)
    try:
        ended = platform.run("materialize", "--from", day, "--to", day)
    finally:
        kept.replace(victim)
    assert ended.status == 1 and ended.result is None
    last_line = ended.error.strip().splitlines()[-1]
    assert "clean_events" in last_line and "ledger does not hold" in last_line, last_line
    assert "price" in last_line, last_line
    assert stored(platform) == before


def stored(platform) -> dict[bytes, dict[bytes, bytes]]:
    """Every hash of Feast's in Redis, and the pointer to what is served."""
    with redis.Redis.from_url(Platform(platform.settings).redis_url) as client:
        rows = {key: client.hgetall(key) for key in client.scan_iter("*intent", _type="HASH")}
        return {**rows, b"release": {b"": client.get("intent:release")}}


@pytest.mark.parametrize(
    ("arguments", "settings", "named"),
    [
        (("materialize", "--from", "2031-01-01", "--to", "2031-01-02"), {}, "2031-01-01"),
        (("materialize", "--from", "soon"), {}, "soon"),
        (("import", "no-such-file.csv"), {}, "no-such-file.csv"),
        (("materialize",), {"INTENT_CLOCK": "sundial"}, "INTENT_CLOCK"),
        (("materialize",), {"INTENT_REDIS_URL": "redis://127.0.0.1:1"}, "127.0.0.1:1"),
        (("serve",), {"INTENT_REDIS_URL": "redis://127.0.0.1:1"}, "127.0.0.1:1"),
        (("release", "promote", "r-19990101-none"), {}, "r-19990101-none"),
    ],
)
def test_a_refusal_is_one_clear_line_and_a_failure(platform, materialized, arguments, settings, named):
    ended = platform.run(*arguments, **settings)
    assert ended.status == 1 and ended.result is None
    assert named in ended.error.strip().splitlines()[-1], ended.error[-2_000:]
