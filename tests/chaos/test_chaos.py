import pytest

from tests.chaos.storm import storm


@pytest.mark.slow
def test_every_answered_event_is_counted_once_whatever_is_killed():
    report = storm(kills=8, seed=7, clients=3, pause_s=0.2)
    assert not report.mismatches, report
    assert set(report.kills.values()) == {2}
    assert report.retries and report.events_acknowledged > 100
