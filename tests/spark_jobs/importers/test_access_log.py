from pathlib import Path

import pytest

from feature_repo.events import rfc3339, to_us
from spark_jobs.importers import BadRow, IgnoredRow, ParsedRow, RulesError, open_log

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36"


def line(
    request: str = "GET /product/42 HTTP/1.1", status: int = 200, agent: str = CHROME, user: str = "-"
) -> str:
    time = "10/Oct/2023:13:55:36 +0200"
    return f'10.1.2.3 - {user} [{time}] "{request}" {status} 512 "https://shop.example/" "{agent}"'


def read(tmp_path: Path, *lines: str, rules: str | None = None) -> list[ParsedRow | BadRow | IgnoredRow]:
    path = tmp_path / "access"
    path.write_text("\n".join(lines) + "\n")
    found, rows = open_log(path, "access_log", rules=rules)
    assert found.name == "access_log"
    return list(rows)


def test_a_product_page_is_a_view(tmp_path: Path) -> None:
    (row,) = read(tmp_path, line())
    event = row.event
    assert (event.event_type, event.item_id, event.device) == ("view", "42", "desktop")
    assert rfc3339(to_us(event.event_time)) == "2023-10-10T11:55:36Z"
    assert event.user_id.startswith("visitor-")


def test_the_common_format_is_read_too(tmp_path: Path) -> None:
    (row,) = read(tmp_path, '::1 - - [10/Oct/2023:13:55:36 +0000] "GET /p/7 HTTP/1.0" 200 -')
    assert (row.event.item_id, row.event.device) == ("7", None)


@pytest.mark.parametrize(
    ("request_line", "event", "field", "value"),
    [
        ("GET /products/42/blue-shoe.html?ref=home HTTP/1.1", "view", "item_id", "42"),
        ("GET /en-GB/shop/dp/B07CVR21VN HTTP/2.0", "view", "item_id", "B07CVR21VN"),
        ("GET /item.htm?spm=a1&id=520813 HTTP/1.1", "view", "item_id", "520813"),
        ("GET /category/shoes/running?page=2 HTTP/1.1", "view", "category", "shoes/running"),
        ("GET /search?page=2&q=usb+cable%20%26+hub HTTP/1.1", "search", "query", "usb cable & hub"),
        ("GET /search?q=%E8%93%9D%E7%89%99%E8%80%B3%E6%9C%BA HTTP/1.1", "search", "query", "蓝牙耳机"),
        (r"GET /search?q=\xE8\x80\xB3\xE6\x9C\xBA HTTP/1.1", "search", "query", "耳机"),
        ("POST /cart/add?item_id=42&quantity=2 HTTP/1.1", "add_to_cart", "item_id", "42"),
        ("POST /api/v1/cart/items HTTP/1.1", "add_to_cart", "item_id", None),
        ("POST /cart/42 HTTP/1.1", "add_to_cart", "item_id", "42"),
        ("DELETE /cart/items/42 HTTP/1.1", "remove_from_cart", "item_id", "42"),
        ("POST /cart/remove/42 HTTP/1.1", "remove_from_cart", "item_id", "42"),
        ("POST /wishlist/42 HTTP/1.1", "wishlist", "item_id", "42"),
        ("GET /checkout/payment HTTP/1.1", "checkout", "item_id", None),
        ("GET /checkout/success?order=9 HTTP/1.1", "purchase", "item_id", None),
        ("POST /orders HTTP/1.1", "purchase", "item_id", None),
        ("POST /contact HTTP/1.1", "message", "item_id", None),
    ],
)
def test_requests_map_to_events_by_default(
    tmp_path: Path, request_line: str, event: str, field: str, value: str | None
) -> None:
    (row,) = read(tmp_path, line(request_line))
    assert isinstance(row, ParsedRow), row
    assert (row.event.event_type, getattr(row.event, field)) == (event, value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": 404}, "status_4xx"),
        ({"status": 500}, "status_5xx"),
        ({"status": 301}, "redirect"),
        ({"agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, "robot"),
        ({"request": "GET /static/app.js?v=3 HTTP/1.1"}, "asset"),
        ({"request": "HEAD /product/42 HTTP/1.1"}, "method"),
        ({"request": "GET /about HTTP/1.1"}, "no_rule"),
        ({"request": "GET /cart HTTP/1.1"}, "no_rule"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_no_shoppers_event_is_ignored_and_counted(tmp_path: Path, changes: dict, reason: str) -> None:
    assert read(tmp_path, line(**changes)) == [IgnoredRow(1, reason)]


def test_a_redirect_after_an_act_counts(tmp_path: Path) -> None:
    (row,) = read(tmp_path, line("POST /cart/add?item=42 HTTP/1.1", 302))
    assert row.event.event_type == "add_to_cart"


def test_a_shopper_is_who_logged_in_or_the_address_and_browser(tmp_path: Path) -> None:
    named, one, same, other = read(
        tmp_path,
        line(user="李雷"),
        line(),
        line("GET /product/43 HTTP/1.1"),
        line(agent="Opera/9.80 (X11; Linux)"),
    )
    assert named.event.user_id == "李雷"
    assert one.event.user_id == same.event.user_id != other.event.user_id


def test_a_bad_line_is_told_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    first, garbage, time, request, last = read(
        tmp_path,
        line(),
        "2023-10-10 something else",
        line().replace("/Oct/", "/Okt/"),
        line("\\x16\\x03\\x01"),
        line(),
    )
    assert isinstance(first, ParsedRow)
    assert isinstance(last, ParsedRow)
    assert [row.code for row in (garbage, time, request)] == [
        "not_access_log",
        "bad_event_time",
        "bad_request",
    ]
    assert request.event_time == 1696938936000000


RULES = r"""
[[rule]]
event = "ignore"
url = '^/product/preview'

[[rule]]
event = "purchase"
method = ["GET", "PUT"]
url = '^/bezahlt/(?P<item>\d+)/(?P<price>[\d.]+)\?n=(?P<quantity>\d+)'
"""


def test_a_shop_brings_its_own_rules(tmp_path: Path) -> None:
    mine, default = line("PUT /bezahlt/7/12.50?n=2 HTTP/1.1"), line()
    row, left_out = read(tmp_path, mine, default, rules=RULES)
    event = row.event
    assert (event.event_type, event.item_id, event.price, event.quantity) == ("purchase", "7", 1250, 2)
    assert left_out == IgnoredRow(2, "no_rule")
    rows = read(tmp_path, default, line("GET /product/preview/1 HTTP/1.1"), rules="defaults = true\n" + RULES)
    assert rows[0].event.event_type == "view"
    assert rows[1] == IgnoredRow(2, "rule")


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("rule = [", "not TOML"),
        ('[[rule]]\nevent = "stare"\nurl = "x"', "stare"),
        ('[[rule]]\nevent = "view"\nurl = "("', "rule 1: its url"),
        ('[[rule]]\nevent = "view"\nurl = "(?P<colour>x)"', "no field colour"),
        ('[[rule]]\nevent = "view"\nurl = "x"\nmethod = "LOOK"', "no method LOOK"),
    ],
    ids=["toml", "event", "pattern", "group", "method"],
)
def test_rules_that_cannot_be_used_are_refused(tmp_path: Path, rules: str, said: str) -> None:
    with pytest.raises(RulesError, match=said.replace("(", r"\(")):
        read(tmp_path, line(), rules=rules)


def test_rules_for_another_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("1,2268318,2520377,pv,1511544070\n")
    with pytest.raises(RulesError, match="is a taobao log"):
        open_log(path, rules=RULES)
