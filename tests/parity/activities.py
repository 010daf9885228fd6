"""Activities with every operation, filter and kind of field: what a shop may declare."""

from feature_repo.aggregates import Activity, Aggregate, Where

_OF_EACH_HOP = ("10m", "24h", "7d")
EVERYTHING = (
    Aggregate("events", "count"),
    Aggregate("found_clicks", "count", ("click",), where=(Where("scenario", ("search",)),)),
    Aggregate("dear_views", "count", ("view",), where=(Where("price", at_least=5_000),)),
    Aggregate("pieces", "sum", ("purchase", "add_to_cart"), "quantity", "pieces"),
    Aggregate("cheap_amount", "sum", ("purchase",), "amount", where=(Where("price", at_most=4_000),)),
    Aggregate("price_min", "min", field="price", windows=_OF_EACH_HOP),
    Aggregate("amount_max", "max", ("view", "purchase"), "amount", windows=("1h", "30d")),
    Aggregate("last_price", "last", field="price", windows=("24h",)),
    Aggregate("last_brand", "last", ("view", "search", "click"), "brand", windows=_OF_EACH_HOP),
    Aggregate("brands", "distinct", field="brand", windows=("1h", "30d")),
    Aggregate("prices", "distinct", field="price", windows=_OF_EACH_HOP),
)
BY_USER = Activity("by_user", ("user_id",), EVERYTHING, "shopper")
BY_ITEM = Activity("by_item", ("item_id",), EVERYTHING, "item")
BY_USER_AND_CATEGORY = Activity(
    "by_user_and_category", ("user_id", "category"), EVERYTHING, "shopper in a category"
)
