import pytest
from pyspark.sql import functions as F

from spark_jobs.transforms.category_tree import (
    Cycle,
    folded,
    levels_by_parent,
    split_path,
    tree_frame,
    with_path,
)

PATHS = {
    "appliances.kitchen.coffee_machine": "appliances/kitchen/coffee_machine",
    "Home & Garden > Lamps > Desk  Lamps": "home_&_garden/lamps/desk_lamps",
    "/Shoes//Running/": "shoes/running",
    "家电 ＞ 厨房／咖啡机": "家电/厨房/咖啡机",
    "usb 3.0 hubs": "usb_3.0_hubs",
    "Dr. Martens": "dr._martens",
    "a -> b|c": "a/b/c",
    "ＴＶ": "tv",
    "2053013552326770905": "2053013552326770905",
    "N/A": None,
    " ": None,
    "//": None,
    "未知": None,
    None: None,
}


def test_separators_make_levels(spark):
    frame = spark.createDataFrame([(c,) for c in PATHS], "c string")
    assert {r.c: r.path for r in with_path(frame, "c", "path").collect()} == PATHS


def test_one_brand_in_several_spellings_is_one(spark):
    spellings = ["Lenovo", " LENOVO ", "lenovo®", "ＬＥＮＯＶＯ", "l'oréal", "L'ORÉAL", "华为", "null", None]
    frame = spark.createDataFrame([(b,) for b in spellings], "b string")
    found = [r.name for r in frame.select(folded(F.col("b")).alias("name")).collect()]
    assert found == ["lenovo"] * 4 + ["l'oréal"] * 2 + ["华为", None, None]


def test_the_shops_tree_comes_before_the_separators(spark):
    placed = [("1016", ["213", "1016"], 2), ("T.V.", ["Electronics", "TV/Video 4.0"], 3), ("t.v.", ["x"], 4)]
    tree = tree_frame(spark.createDataFrame(placed, "category string, levels array<string>, line bigint"))
    given = [("1016",), (" t.v. ",), ("not.in.tree",), (None,)]
    frame = with_path(spark.createDataFrame(given, "c string"), "c", "path", tree)
    assert sorted(((r.c, r.path) for r in frame.collect()), key=str) == sorted(
        [
            ("1016", "213/1016"),
            (" t.v. ", "electronics/tv_video_4.0"),
            ("not.in.tree", "not/in/tree"),
            (None, None),
        ],
        key=str,
    )


def test_a_path_is_its_own_path(spark):
    frame = spark.createDataFrame([(p,) for p in PATHS.values() if p], "c string")
    assert all(r.c == r.path for r in frame.select("c", split_path(F.col("c")).alias("path")).collect())


def test_a_long_chain_and_a_circle():
    chain = {str(n): str(n + 1) for n in range(500)}
    assert levels_by_parent(chain)["0"] == [str(n) for n in range(500, -1, -1)]
    with pytest.raises(Cycle, match="b > c > b"):
        levels_by_parent({"a": "b", "b": "c", "c": "b"})
