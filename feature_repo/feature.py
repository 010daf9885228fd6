"""What a declared feature is."""

from typing import Literal

import msgspec

Dtype = Literal["int64", "float64", "vector", "string", "strings"]


class Feature(msgspec.Struct, frozen=True):
    """One declared input: where it lives, its type and unit, and what stands in when it is missing.

    A `default` of None: nothing does. `strings` is a list of strings, the first the weightiest.
    """

    view: str
    name: str
    dtype: Dtype
    unit: str
    default: int | float | None
    source: Literal["windowed", "session", "batch"]
    description: str

    @property
    def reference(self) -> str:
        return f"{self.view}:{self.name}"
