"""Suites of what is made from text without an encoder."""

from feature_repo.behavior import MAX_KEYWORDS
from orchestration.quality.expectations import FIX_JOB, TEXT, TIME, WORDS, Suite, filled, unique
from orchestration.quality.rules import Broken, RowRule


def user_keywords() -> Suite:
    key = ("user_id", "event_timestamp")
    shown = ("keywords",)
    return Suite(
        name="user_keywords",
        key=key,
        columns={
            "user_id": TEXT,
            "event_timestamp": TIME,
            "created_timestamp": TIME,
            "keywords": WORDS,
        },
        expectations=(unique(*key),),
        rules=(
            filled(*key, "created_timestamp", "keywords"),
            RowRule(
                "keywords_are_few",
                f"there are at most {MAX_KEYWORDS}",
                FIX_JOB,
                (Broken(f"size(keywords) > {MAX_KEYWORDS}", shown),),
            ),
            RowRule(
                "keywords_are_words",
                "each is a normalised word, and none is there twice",
                "the segmenter is at fault: mend models/text by the rows shown, materialize again",
                (
                    Broken("exists(keywords, w -> w IS NULL OR w = '' OR w <> lower(trim(w)))", shown),
                    Broken("size(array_distinct(keywords)) < size(keywords)", shown),
                ),
            ),
        ),
    )
