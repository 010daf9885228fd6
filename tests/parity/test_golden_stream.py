import pytest
from msgspec.structs import replace

from feature_repo.behavior import ITEM, SESSION_ACTIVITY, USER
from feature_repo.events import LedgerEvent
from spark_jobs.transforms.contributions import event_contributions
from spark_jobs.transforms.point_in_time import feature_names, window_values_at
from spark_jobs.transforms.session_history import session_rows
from spark_jobs.transforms.tiles import session_tiles
from tests.oracle import brute_force
from tests.parity.frames import event_frame, instants, values_by_instant
from tests.parity.golden import (
    QUESTIONS,
    SESSION_QUESTIONS,
    STREAM,
    accepted,
    through_the_door,
    us,
)

SESSION_FEATURES = [f.name for f in SESSION_ACTIVITY]


def label(question) -> str:
    return f"{question[-4]}-{question[-3]}-{question.as_of}"


def counted(values: dict) -> dict:
    return {name: value for name, value in values.items() if value}


def test_the_door_answers_as_written():
    assert [answer for answer, _ in through_the_door(STREAM)] == [a.answer for a in STREAM]


@pytest.mark.parametrize("question", QUESTIONS, ids=label)
def test_oracle_meets_the_windows(question):
    events = accepted(question.after)
    found = brute_force.window_values(events, question.entity, question.entity_id, us(question.as_of))
    assert counted(found) == question.values


@pytest.mark.parametrize("question", SESSION_QUESTIONS, ids=label)
def test_oracle_meets_the_sessions(question):
    found = brute_force.session_features(
        accepted(question.after), question.user_id, question.session_id, us(question.as_of)
    )
    assert set(found) == set(SESSION_FEATURES)
    assert counted(found) == question.values


def known_after(after: int, entity_id: str) -> str:
    """The id under which an entity stands in `all_positions`."""
    return f"{entity_id} after {after}"


def all_positions(questions: list) -> list[LedgerEvent]:
    """The stream as known after each arrival asked about, side by side under ids of their own."""
    return [
        replace(
            event,
            user_id=known_after(after, event.user_id),
            item_id=event.item_id and known_after(after, event.item_id),
        )
        for after in sorted({q.after for q in questions})
        for event in accepted(after)
    ]


@pytest.mark.parametrize("activity", [USER, ITEM], ids=lambda a: a.name)
def test_spark_meets_the_windows(spark, activity):
    questions = [q for q in QUESTIONS if q.entity == activity.name]
    keys = [(known_after(q.after, q.entity_id), us(q.as_of)) for q in questions]
    rows = instants(spark, keys, activity)
    history = event_contributions(event_frame(spark, all_positions(questions)), activity)
    found = window_values_at(rows, history, activity)
    answers = values_by_instant(found, list(activity.keys), feature_names(activity))
    for question, key in zip(questions, keys, strict=True):
        assert counted(answers[key]) == question.values, question


def test_spark_meets_the_sessions(spark):
    """History has a row at each event; the newest one at or before the question is the answer."""
    events = event_frame(spark, all_positions(SESSION_QUESTIONS))
    tiles, answers = session_tiles(events), {}
    for day in ("2024-03-10T00:00:00Z", "2024-03-11T00:00:00Z"):
        rows = session_rows(events, tiles, us(day))
        answers |= values_by_instant(rows, ["user_id", "session_id"], SESSION_FEATURES)
    for question in SESSION_QUESTIONS:
        key = known_after(question.after, question.user_id), question.session_id
        own = {
            at: values
            for (*session, at), values in answers.items()
            if tuple(session) == key and at <= us(question.as_of)
        }
        found = own[max(own)] if own else {}
        assert counted(found) == question.values, question
