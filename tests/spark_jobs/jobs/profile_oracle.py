"""Profiles counted from raw events, sentence by sentence, sharing no code with Spark's."""

import math
from collections import Counter, defaultdict
from datetime import UTC, date, datetime

from feature_repo.events import LedgerEvent

DAY_US = 86_400_000_000
WEIGHTS = {"view": 1, "click": 1, "wishlist": 2, "add_to_cart": 3, "checkout": 3, "purchase": 5}


def day_of(event: LedgerEvent) -> int:
    return event.event_time // DAY_US


def hour_of(event: LedgerEvent) -> int:
    return event.event_time % DAY_US // 3_600_000_000


def in_order(event: LedgerEvent) -> tuple[int, str]:
    return event.event_time, event.event_id


def category_of(event: LedgerEvent) -> str | None:
    return event.category and event.category.replace(".", "/")


def price_step(price: int) -> int:
    return math.floor(math.log2(price) * 8)


def price_of_item(events: list[LedgerEvent]) -> int | None:
    priced = [e for e in sorted(events, key=in_order) if e.price]
    return priced[-1].price if priced else None


def price_position(events: list[LedgerEvent], day: int, category: str | None, price: int | None):
    """Share that is cheaper of the priced item-days of 30 days whose price differs; in thousandths."""
    if not price or not category:
        return None
    item_days = defaultdict(list)
    for e in events:
        if e.item_id and day - 30 < day_of(e) <= day:
            item_days[e.item_id, day_of(e)].append(e)
    steps = []
    for touching in item_days.values():
        known = [e for e in sorted(touching, key=in_order) if e.category]
        at = price_of_item(touching)
        if at and known and category_of(known[-1]) == category:
            steps.append(price_step(at))
    others = [s for s in steps if s != price_step(price)]
    if len(steps) < 5 or not others:
        return None
    return math.floor(1000 * sum(s < price_step(price) for s in others) / len(others) + 0.5)


def preferred(weights: Counter) -> list[str]:
    return sorted(weights, key=lambda name: (-weights[name], name))[:3]


def user_profile(events: list[LedgerEvent], user_id: str, day: int) -> dict:
    """As of the end of `day`, whose visits all have the client's session id."""
    known = [e for e in events if day_of(e) <= day]
    mine = sorted((e for e in known if e.user_id == user_id and e.personal), key=in_order)
    bought = [e for e in mine if e.event_type == "purchase"]
    orders = len({e.session_id for e in bought})
    money = sum((e.price or 0) * e.quantity for e in bought)
    end = (day + 1) * DAY_US
    recent = [e for e in mine if day_of(e) > day - 90]
    hours = Counter(hour_of(e) for e in recent)
    categories, brands, points = Counter(), Counter(), []
    for e in recent:
        weight = WEIGHTS.get(e.event_type, 0)
        if weight and e.category:
            categories["/".join(category_of(e).split("/")[:2])] += weight
        if weight and e.brand:
            brands[e.brand] += weight
        position = price_position(known_until(events, e), day_of(e), category_of(e), e.price)
        if weight and position is not None:
            points.append((weight, position))
    weight = sum(w for w, _ in points)
    position = sum(w * p for w, p in points) / (weight * 1000) if weight else None
    starts = {}
    for e in recent:
        starts.setdefault((e.session_id, day_of(e)), e.device)
    devices = Counter(d for d in starts.values() if d)
    busiest = max(hours.values())

    def of(kind: str) -> int:
        return sum(e.event_type == kind for e in mine)

    def share(first: int, last: int) -> float:
        return sum(n for h, n in hours.items() if first <= h <= last) / len(recent)

    return {
        "recency_days": (end - max(e.event_time for e in bought)) // DAY_US if bought else None,
        "frequency": orders,
        "monetary_minor": money,
        "average_order_minor": math.floor(money / orders + 0.5) if orders else 0,
        "lifetime_view_count": of("view"),
        "lifetime_add_to_cart_count": of("add_to_cart"),
        "lifetime_purchase_count": of("purchase"),
        "lifetime_search_count": of("search"),
        "lifetime_message_count": of("message"),
        "lifetime_session_count": len({e.session_id for e in mine}),
        "active_days": len({day_of(e) for e in mine}),
        "days_since_first_seen": (end - mine[0].event_time) // DAY_US,
        "preferred_categories": preferred(categories),
        "preferred_brands": preferred(brands),
        "preferred_category_share": max(categories.values()) / categories.total() if categories else 0.0,
        "price_band": None
        if position is None
        else "low"
        if position < 1 / 3
        else "high"
        if position > 2 / 3
        else "mid",
        "price_position": position,
        "active_hour": min(h for h, n in hours.items() if n == busiest),
        "night_share": share(0, 5),
        "morning_share": share(6, 11),
        "afternoon_share": share(12, 17),
        "evening_share": share(18, 23),
        "weekend_share": sum(is_weekend(day_of(e)) for e in recent) / len(recent),
        "entry_device": (preferred(devices) or [None])[0],
    }


def known_until(events: list[LedgerEvent], event: LedgerEvent) -> list[LedgerEvent]:
    return [e for e in events if day_of(e) <= day_of(event)]


def is_weekend(day: int) -> bool:
    return date.fromordinal(date(1970, 1, 1).toordinal() + day).weekday() >= 5


def visitor_days(events: list[LedgerEvent], item_id, kind: str | None = None) -> set[tuple]:
    return {
        (e.user_id, day_of(e))
        for e in events
        if e.item_id == item_id and (kind is None or e.event_type == kind)
    }


def item_profile(events: list[LedgerEvent], item_id: str, day: int) -> dict:
    """As of the end of `day`; no event is a bot's."""
    known = [e for e in events if e.item_id and day_of(e) <= day]
    mine = sorted((e for e in known if e.item_id == item_id), key=in_order)
    month = [e for e in known if day_of(e) > day - 30 and e.event_type == "view"]
    views = Counter(e.item_id for e in month)
    today = {e.item_id for e in known if day_of(e) == day}
    newest = {}
    for e in mine:
        if e.category:
            newest["category"] = category_of(e)
        if e.brand:
            newest["brand"] = e.brand
    price = price_of_item(mine)
    position = price_position(known, day, newest.get("category"), price)
    return {
        "popularity": sum(views[i] < views[item_id] for i in today) / max(1, len(today) - 1),
        "view_share": views[item_id] / max(1, views.total()),
        "item_view_count": sum(e.event_type == "view" for e in mine),
        "item_add_to_cart_count": sum(e.event_type == "add_to_cart" for e in mine),
        "item_purchase_count": sum(e.event_type == "purchase" for e in mine),
        "item_buyer_count": len({e.user_id for e in mine if e.event_type == "purchase"}),
        "conversion_rate": rate(known, item_id, "purchase"),
        "cart_rate": rate(known, item_id, "add_to_cart"),
        "price_minor": price,
        "item_price_position": None if position is None else position / 1000,
        "category_path": newest.get("category"),
        "brand_name": newest.get("brand"),
        "co_viewed_items": co_viewed([e for e in known if day_of(e) > day - 14], item_id),
    }


def rate(known: list[LedgerEvent], item_id: str, kind: str) -> float:
    """Drawn by 20 visitors to the rate of the category that each item-day's events name, and that by 20
    to the shop's."""
    item_days = defaultdict(list)
    for e in known:
        item_days[e.item_id, day_of(e)].append(e)

    def category(events):
        named = [e for e in sorted(events, key=in_order) if e.category]
        return category_of(named[-1]) if named else None

    def visits(items, kind=None):
        return sum(len(visitor_days(item_days[i], i[0], kind)) for i in items)

    def drawn(items, prior):
        return (visits(items, kind) + 20 * prior) / (visits(items) + 20)

    own = [i for i in item_days if i[0] == item_id]
    newest = [category(item_days[i]) for i in sorted(own, key=lambda i: i[1]) if category(item_days[i])]
    mine = newest[-1] if newest else None
    of_category = [i for i in item_days if category(item_days[i]) == mine]
    shop = visits(item_days, kind) / visits(item_days)
    return drawn(own, drawn(of_category, shop))


def co_viewed(known: list[LedgerEvent], item_id: str) -> list[str]:
    visits = defaultdict(set)
    for e in known:
        if e.event_type == "view" and e.personal:
            visits[e.user_id, e.session_id, day_of(e)].add(e.item_id)
    count = Counter(i for items in visits.values() for i in items)
    both = Counter(i for items in visits.values() if item_id in items for i in items if i != item_id)
    cosine = {i: n / math.sqrt(count[i] * count[item_id]) for i, n in both.items() if n >= 2}
    return sorted(cosine, key=lambda i: (-cosine[i], i))[:10]


def midnight(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000
