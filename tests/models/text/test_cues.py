import numpy as np

from models.text.cues import CUES, TAGS, Token, dependency_cues, is_chinese, tag_shares

CAN_I_NOT_PAY = [
    Token("can", "AUX", "aux", 3, "VerbForm=Fin"),
    Token("i", "PRON", "nsubj", 3, ""),
    Token("not", "PART", "neg", 3, ""),
    Token("pay", "VERB", "root", 3, ""),
]


def cues_of(text, parse):
    return {name for name, value in zip(CUES, dependency_cues(text, parse), strict=True) if value}


def test_cues_of_a_question():
    found = cues_of("can I not pay?", CAN_I_NOT_PAY)
    assert found == {
        "root_is_verb", "negation", "question_mark", "modal", "subject", "first_person_subject", "depth",
    }  # fmt: skip


def test_a_verb_without_subject_is_an_order():
    parse = [Token("refund", "VERB", "root", 0, ""), Token("it", "PRON", "dobj", 0, "")]
    assert cues_of("refund it", parse) == {"root_is_verb", "imperative", "object", "depth"}


def test_a_chinese_question_needs_no_mark():
    assert "interrogative" in cues_of("怎么付款", [Token("付款", "VERB", "root", 0, "_")])
    assert is_chinese("红色 shoes") and not is_chinese("red shoes")


def test_shares_of_tags_sum_to_one_and_an_empty_parse_has_none():
    shares = tag_shares(CAN_I_NOT_PAY)
    assert shares[TAGS.index("VERB")] == 0.25 and np.isclose(shares.sum(), 1)
    assert not tag_shares([]).any() and not dependency_cues("", []).any()
