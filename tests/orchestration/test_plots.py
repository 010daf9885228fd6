from orchestration.plots import line_chart


def test_a_chart_names_its_lines_and_leaves_gaps():
    days = ["2024-03-01", "2024-03-02", "2024-03-03"]
    svg = line_chart(days, {"机器人": [1, None, 3], "late": [0, 2, 4]}, "Shares", "% of events")
    assert svg.startswith("<?xml")
    for text in ("Shares", "% of events", "late", "机器人", "day (UTC)"):
        assert text in svg, text
    alone = line_chart(days, {"events": [None, None, 5]}, "All of them", "a day")
    assert "events" not in alone and "All of them" in alone
