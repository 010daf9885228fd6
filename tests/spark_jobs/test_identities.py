import random
from pathlib import Path

import numpy as np
import pytest

from spark_jobs import identities
from spark_jobs.identities import KNOWN, Identities, RowSet, identity_digests


@pytest.mark.parametrize("held_rows", [1, 7, 1_000_000])
def test_rows_that_repeat_a_known_or_an_earlier_one_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_rows: int
) -> None:
    monkeypatch.setattr(identities, "HELD_ROWS", held_rows)
    chance = random.Random(11)
    log = [(f"u{chance.randrange(9)}", f"e{chance.randrange(40)}") for _ in range(500)]
    known = [("u1", "e1"), ("u2", "e2"), ("u1", "e1")]
    found = Identities(tmp_path / "identities")
    for start in range(0, 500, 50):
        found.add(identity_digests(log[start : start + 50]), np.arange(start + 1, start + 51))
    found.add(identity_digests(known), KNOWN)
    repeated = found.repeated(len(log))
    seen, expected = set(known), []
    for ordinal, identity in enumerate(log, 1):
        if identity in seen:
            expected.append(ordinal)
        seen.add(identity)
    assert np.flatnonzero(repeated.has(np.arange(501))).tolist() == expected


def test_no_two_identities_run_together() -> None:
    digests = identity_digests([("a", "bc"), ("ab", "c"), ("用户", "e"), ("用户", "é")])
    assert len({tuple(d) for d in digests.tolist()}) == 4


def test_a_set_of_rows_survives_its_file(tmp_path: Path) -> None:
    rows = RowSet.empty(100)
    rows.add(np.array([1, 8, 9, 100]))
    rows.save(tmp_path / "rows")
    assert np.flatnonzero(RowSet.load(tmp_path / "rows").has(np.arange(101))).tolist() == [1, 8, 9, 100]
