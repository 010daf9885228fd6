from pathlib import Path

import pytest

from online_api.settings import ROOT, VARIABLES, Settings, SettingsError, duration_s


def test_nothing_set_is_all_local():
    settings = Settings.from_environment({})
    assert settings.state == ROOT / ".state" and settings.lake == ROOT / ".state" / "lake"
    assert settings.redis_url is None and settings.late_horizon_s == 604_800


def test_lake_follows_the_state_unless_named():
    assert Settings.from_environment({"INTENT_STATE": "/s"}).lake == Path("/s/lake")
    named = Settings.from_environment({"INTENT_STATE": "/s", "INTENT_LAKE": "/l"})
    assert named.lake == Path("/l")


def test_durations():
    assert [duration_s(text) for text in ("7d", "12h", "30m", "45s", "90", "1 d")] == [
        604_800, 43_200, 1_800, 45, 90, 86_400,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("INTENT_LATE_HORIZON", "a week"),
        ("INTENT_AHEAD_LIMIT", "-1d"),
        ("INTENT_CLOCK", "sun"),
        ("INTENT_CONSENT", "all"),
        ("INTENT_CURRENCY", "usd"),
        ("INTENT_SHARDS", "0"),
        ("INTENT_SHARDS", "101"),
        ("INTENT_PORT", "http"),
        ("INTENT_SCORE_LOG", "1.5"),
        ("INTENT_SCORE_LOG", "nan"),
        ("INTENT_FIRST_DAY", "2014"),
        ("INTENT_REDIS_URL", "localhost:6379"),
    ],
)
def test_bad_setting_is_named_with_what_would_do(name, text):
    with pytest.raises(SettingsError, match=f"^{name}={text} (is|does) not .+"):
        Settings.from_environment({name: text})


def test_another_process_reads_the_same_settings():
    given = {
        "INTENT_STATE": "/s", "INTENT_CLOCK": "event", "INTENT_LATE_HORIZON": "3d",
        "INTENT_SCORE_LOG": "0.25", "INTENT_FIRST_DAY": "2019-10-01", "INTENT_UTTERANCES": "/u.csv",
        "INTENT_REDIS_URL": "redis://h:1/0",
    }  # fmt: skip
    settings = Settings.from_environment(given)
    assert Settings.from_environment(settings.environment()) == settings
    assert set(VARIABLES) == set(Settings.__struct_fields__)
