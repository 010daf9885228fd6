from collections import Counter

import pytest

from models.runtime.text import normalize_text
from models.utterance.dataset import (
    INTENTS,
    LANGUAGES,
    LabelledDataError,
    load_labelled,
    own_rows,
    own_test_rows,
)


def test_own_text_covers_every_intent_in_both_languages_and_is_seeded():
    rows = own_rows()
    counts = Counter((row.intent, row.language) for row in rows)
    assert set(counts) == {(intent, language) for intent in INTENTS for language in LANGUAGES}
    assert min(counts.values()) >= 150
    assert rows == own_rows()
    assert rows != own_rows(seed=1)
    assert not any("{" in row.text for row in rows)


def test_no_text_has_two_intents():
    intents = {}
    for row in own_rows():
        intents.setdefault(normalize_text(row.text), set()).add(row.intent)
    assert not [text for text, found in intents.items() if len(found) > 1]


def test_hand_written_test_lines_are_not_trained_on():
    trained = {normalize_text(row.text) for row in own_rows()}
    test = own_test_rows()
    assert len(test) >= 300
    assert not [row.text for row in test if normalize_text(row.text) in trained]
    assert {row.intent for row in test} == set(INTENTS)


def written(tmp_path, content: bytes):
    path = tmp_path / "labelled.csv"
    path.write_bytes(content)
    return path


def test_a_shops_file_is_read_with_its_own_intents(tmp_path):
    content = 'text,intent\n"ring, gold",engraving\n刻字多久,wait\n'
    rows = load_labelled(written(tmp_path, b"\xef\xbb\xbf" + content.encode()))
    assert [(row.text, row.intent) for row in rows] == [
        ("ring, gold", "engraving"),
        ("刻字多久", "wait"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column text or intent"),
        (b"text,label\na,b\n", "no column intent"),
        (b"text,intent\n", r"0 labelled lines with 0 intent\(s\)"),
        (b"text,intent\nhello,a\nbye,a\n", r"2 labelled lines with 1 intent\(s\)"),
        (b"text,intent\nhello,a\n ,b\n", "line 3: empty text"),
        (b"text,intent\nhello,a\nbye\n", "line 3: empty intent"),
        (b"text,intent\nhello,a\nHello ,b\n", "line 3: 'Hello' is labelled 'b' here and 'a'"),
        ("text,intent\n退货,a\n".encode("gbk"), "not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_naming_the_place(tmp_path, content, message):
    with pytest.raises(LabelledDataError, match=message):
        load_labelled(written(tmp_path, content))


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(LabelledDataError, match="cannot be read"):
        load_labelled(tmp_path / "absent.csv")
