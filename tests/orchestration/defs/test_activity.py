from orchestration.defs.activity.assets import with_quiet_days


def publish(lake, *parts):
    for part in parts:
        lake.candidate("user_activity", part).mkdir(parents=True)
        lake.publish("user_activity", part)


def test_days_without_events_between_those_with_events_are_run_too(lake):
    assert with_quiet_days(lake, ["2024-03-01", "2024-03-04"]) == [
        "2024-03-01",
        "2024-03-02",
        "2024-03-03",
        "2024-03-04",
    ]


def test_the_quiet_days_since_the_last_published_one_are_made_up_for(lake):
    """Until now the part `tail` held what expired on them; it will start after the newest day."""
    publish(lake, "2024-03-01", "tail")
    assert with_quiet_days(lake, ["2024-03-04"]) == ["2024-03-02", "2024-03-03", "2024-03-04"]


def test_a_day_that_is_run_again_is_run_alone(lake):
    publish(lake, "2024-03-01", "2024-03-02", "2024-03-03", "tail")
    assert with_quiet_days(lake, ["2024-03-02"]) == ["2024-03-02"]
