"""Categories as paths in a tree (`a/b/c`) and brands in one spelling, out of what shops call them."""

from collections.abc import Mapping
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# What feeds write where there is nothing.
PLACEHOLDERS = (
    "",
    "-",
    "--",
    "n/a",
    "none",
    "null",
    "nan",
    "undefined",
    "unknown",
    "(not set)",
    "无",
    "未知",
)

# Full-width forms to the ASCII they stand for; signs of ownership are no part of a name.
WIDE = "".join(chr(code + 0xFEE0) for code in range(0x21, 0x7F))
ASCII = "".join(chr(code) for code in range(0x21, 0x7F))
OWNERSHIP = "®™©"

BLANKS = r"[\s\p{Z}\p{Cc}]+"
# Between levels: `>`, `->`, `/`, `|`, `›`, `»`, and a dot that neither ends a word nor stands in a number.
SEPARATOR = r"-*>|[/|›»]|(?<![0-9])\.(?![ _])|\.(?![0-9 _])"


class Placed(NamedTuple):
    """A category of the shop's own tree: what events call it, and the levels above and of it."""

    category: str
    levels: list[str]
    line: int


class Cycle(ValueError):
    """A category is its own ancestor. `categories` go round once, the first also at the end."""

    def __init__(self, categories: list[str]) -> None:
        super().__init__(" > ".join(categories))
        self.categories = categories


def levels_by_parent(parents: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Each category's levels from its root down; a parent that is no category itself is a root.

    Raises Cycle.
    """
    levels: dict[str, list[str]] = {}
    for category in parents:
        way, above = [category], parents[category]
        while above is not None and above not in levels:
            if above in way:
                raise Cycle([*way[way.index(above) :], above])
            way.append(above)
            above = parents.get(above)
        known = levels[above] if above is not None else []
        for step in reversed(way):
            known = levels[step] = [*known, step]
    return levels


def folded(text: Column) -> Column:
    """Lower case, full-width forms narrowed, single blanks; null for what stands for nothing."""
    narrow = F.translate(text, WIDE + OWNERSHIP, ASCII)
    return missing_to_null(F.trim(F.regexp_replace(F.lower(narrow), BLANKS, " ")))


def missing_to_null(text: Column) -> Column:
    return F.when(~text.isin(*PLACEHOLDERS), text)


def split_path(text: Column) -> Column:
    """The path that separators inside a category's name spell out."""
    return joined(F.regexp_replace(folded(text), SEPARATOR, "/"))


def path_of_levels(levels: Column) -> Column:
    """The path of named levels; a separator inside a name is none here."""
    return joined(
        F.array_join(F.transform(levels, lambda level: F.regexp_replace(folded(level), "/", "_")), "/")
    )


def joined(path: Column) -> Column:
    """Words of a level joined by `_`, levels without a name left out; null if none is left."""
    words = F.regexp_replace(path, "[ _]+", "_")
    levels = F.regexp_replace(words, "_?/[_/]*", "/")
    return F.nullif(F.regexp_replace(levels, "^[_/]+|[_/]+$", ""), F.lit(""))


def with_path(frame: DataFrame, category: str, path: str, tree: DataFrame | None = None) -> DataFrame:
    """Adds the column `path` for the column `category`: its place in the shop's tree (columns `key`,
    `path`; key unique), else what its separators spell out.
    """
    if tree is None:
        return frame.withColumn(path, split_path(F.col(category)))
    placed = tree.select(F.col("key").alias("tree_key"), F.col("path").alias("tree_path"))
    return (
        frame.withColumn("category_key", folded(F.col(category)))
        .join(F.broadcast(placed), F.col("category_key") == F.col("tree_key"), "left")
        .withColumn(path, F.coalesce("tree_path", split_path(F.col(category))))
        .drop("category_key", "tree_key", "tree_path")
    )


def tree_frame(placed: DataFrame) -> DataFrame:
    """Columns `key` (as events' categories are folded) and `path`, of rows of Placed; of spellings that
    fold to one key the first line counts.
    """
    rows = placed.select(
        folded(F.col("category")).alias("key"), path_of_levels(F.col("levels")).alias("path"), "line"
    )
    return rows.where("key IS NOT NULL").groupBy("key").agg(F.min_by("path", "line").alias("path"))
