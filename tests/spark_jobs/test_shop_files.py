import pyarrow.parquet as pq
import pytest

from spark_jobs.lake import Lake
from spark_jobs.shop_files import ShopFileError, catalogue_parquet, placed_categories


def written(tmp_path, text: str | bytes):
    path = tmp_path / "file.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_tree_of_ids_becomes_levels_from_the_root_down(tmp_path):
    rows = placed_categories(written(tmp_path, "categoryid,parentid\n1016,213\n213,\n809,1016\n7,99\n"))
    levels = {row.category: row.levels for row in rows}
    assert levels == {
        "213": ["213"],
        "1016": ["213", "1016"],
        "809": ["213", "1016", "809"],
        "7": ["99", "7"],
    }


def test_a_mapping_gives_paths_whose_names_may_hold_dots(tmp_path):
    text = "category,path\ntv,Electronics / TV 4.0\n家电,家电>厨房\ntv,Electronics/TV 4.0\n"
    rows = placed_categories(written(tmp_path, text))
    assert [(r.category, r.levels) for r in rows] == [
        ("tv", ["Electronics", "TV 4.0"]),
        ("家电", ["家电", "厨房"]),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("category,parent\na,b\nb,c\nc,a\n", r"line 4, column parent: a > b > c > a is a circle"),
        ("category,parent\na,a\n", r"line 2, column parent: a > a is a circle"),
        ("category,parent\na,b\n\na,c\n", r"line 4, column parent: a has another parent on line 2"),
        ("category,path\nshoes,a/b\nshoes,a/c\n", r"line 3, column path: shoes has another path on line 2"),
        ("category,path\nshoes,/\n", r"line 2, column path: / names no level"),
        ("category,path\n,a\n", r"line 2, column category: is empty"),
        ("category,path\na\n", r"line 2: 1 columns, the header has 2"),
        ("category,colour\na,red\n", r"line 1: there is neither a column path nor a column parent"),
        ("name,path\na,b\n", r"line 1: there is no column category, only name, path"),
        ("", r"is empty: its first line names the columns"),
        (b"category,path\n\xff,a\n", r"after line \d: not UTF-8"),
        ('category,path\n"a"b,c\n', r"after line 1: "),
    ],
)
def test_a_bad_tree_is_refused_with_its_place(tmp_path, text, said):
    with pytest.raises(ShopFileError, match=rf"file\.csv.*{said}"):
        placed_categories(written(tmp_path, text))


def test_a_catalogue_is_kept_in_the_lake_line_by_line(tmp_path):
    text = "﻿brand,item_id,title,price_minor\nAcme,i1,一,500\n,i2,二,\nLast,i1,三,0\n"
    lake, path = Lake(tmp_path / "lake"), written(tmp_path, text)
    parquet = catalogue_parquet(lake, path)
    rows = pq.read_table(parquet, partitioning=None).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("i1", None, "Acme", 500, 2),
        ("i2", None, None, None, 3),
        ("i1", None, "Last", None, 4),
    ]
    assert catalogue_parquet(lake, path) == parquet
    assert [p.name for p in parquet.parent.iterdir()] == [parquet.name]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item_id,price_minor\ni1,12.50\n", r"line 2, column price_minor: 12.50 is not a whole number"),
        ("item_id,price_minor\ni1,99999999999\n", r"line 2, column price_minor: 99999999999 is not"),
        ("item_id,brand\n ,x\n", r"line 2, column item_id: is empty"),
        ("item_id,title\ni1,x\n", r"line 1: there is none of the columns category, brand, price_minor"),
        ("sku,brand\ni1,x\n", r"line 1: there is no column item_id, only sku, brand"),
    ],
)
def test_a_bad_catalogue_is_refused_with_its_place(tmp_path, text, said):
    lake = Lake(tmp_path / "lake")
    with pytest.raises(ShopFileError, match=rf"file\.csv.*{said}"):
        catalogue_parquet(lake, written(tmp_path, text))
    assert list((lake.root / "reference").iterdir()) == []


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ShopFileError, match=r"nowhere\.csv: no such file"):
        catalogue_parquet(Lake(tmp_path), tmp_path / "nowhere.csv")
