from models.utterance.build import Trained, build_utterance, train_utterance
from models.utterance.dataset import INTENTS, Labelled, LabelledDataError, load_labelled
from models.utterance.evaluation import evaluate, evaluate_external

__all__ = [
    "INTENTS",
    "Labelled",
    "LabelledDataError",
    "Trained",
    "build_utterance",
    "evaluate",
    "evaluate_external",
    "load_labelled",
    "train_utterance",
]
