import numpy as np

from models.behavior.split import split_by_time


def test_parts_are_whole_sessions_in_order_of_time():
    rng = np.random.default_rng(0)
    session = np.repeat(np.arange(100), 3)
    start = rng.permutation(100) * 1_000
    time = (start[session] + np.tile([0, 10, 20], 100)).astype("datetime64[s]")
    parts = split_by_time(session, time)
    train, calibrate, test, cut_off = parts
    assert [len(p) for p in (train, calibrate, test)] == [180, 60, 60]
    assert cut_off == 0
    assert time[train].max() < time[calibrate].min() < time[calibrate].max() < time[test].min()
    assert not set(session[train]) & set(session[test])


def test_rows_past_the_start_of_the_next_part_belong_to_none():
    """The first of ten sessions goes on until after the last has started."""
    session = np.array([0, 0, *range(1, 10)])
    time = np.array([0, 500, *range(10, 100, 10)]).astype("datetime64[s]")
    parts = split_by_time(session, time)
    assert parts.cut_off == 1
    assert 1 not in np.concatenate(parts[:3])
    assert 0 in parts.train


def test_sessions_of_one_instant_stay_together():
    time = np.array([5] * 9 + [6]).astype("datetime64[s]")
    parts = split_by_time(np.arange(10), time)
    assert sorted(map(len, parts[:3])) == [0, 0, 10]
