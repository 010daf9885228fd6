import pytest

from models.text import load_segmenter


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Looking for wireless headphones", ["look", "for", "wireless", "headphone"]),
        ("蓝牙耳机 降噪", ["蓝牙", "耳机", "降噪"]),
        ("iPhone15和小米14，哪个好？", ["iphone15", "和", "小米", "14", "哪个", "好"]),
        ("Women's T-shirts 👍!", ["woman", "t-shirts"]),
        ("", []),
    ],
    ids=["english", "chinese", "both", "marks", "empty"],
)
def test_words_of_both_languages(segmenter, text, words):
    assert segmenter.words(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Where is my order? I want a refund, please", ["order", "refund"]),
        ("請問我的訂單什麼時候發貨", ["订单", "发货"]),
        ("想买一件红色的羽绒服给妈妈", ["红色", "羽绒服", "妈妈"]),
        ("鞋 42码", ["鞋", "码"]),
        ("shoes, SHOES and one more shoe", ["shoe"]),
        ("order A9981715, mail me at bob@example.com or www.example.com/x 13800138000", ["order", "mail"]),
        ("x" * 40 + " lamp", ["lamp"]),
    ],
    ids=["english", "traditional", "classes", "noun of one character", "once", "identifiers", "too long"],
)
def test_content_words_say_what_a_text_is_about(segmenter, text, words):
    assert segmenter.content_words(text) == words


@pytest.mark.parametrize(
    ("typed", "other"),
    [("藍牙耳機", "蓝牙耳机"), ("ＷＩＲＥＬＥＳＳ headphone", "wireless Headphones")],
    ids=["traditional", "wide"],
)
def test_spellings_of_one_text_have_the_same_words(segmenter, typed, other):
    assert segmenter.content_words(typed) == segmenter.content_words(other) != []
