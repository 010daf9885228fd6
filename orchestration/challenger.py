"""What was trained last against what is served, before it becomes a release."""

from pathlib import Path

import pandas as pd

from models.behavior.comparison import Comparison, Judge, TargetComparison, compare_behavior
from models.release import learned
from models.runtime.behavior import BehaviorModel
from models.runtime.release import Release, ReleaseMismatch
from models.runtime.row import RowBuilder
from models.runtime.utterance import UtteranceModel
from models.utterance.corrections import HeldOut, agreed, compare_utterance
from orchestration import releases
from orchestration.resources import Platform
from orchestration.scores import corrections


def compare(platform: Platform, rows: pd.DataFrame, seed: int) -> Comparison:
    """`rows` as `train_behavior` got them."""
    pointer = releases.served(platform)
    if pointer is None:
        return Comparison(None)
    try:
        champion = Release.load(Path(pointer.path), platform.encoders)
    except ReleaseMismatch as mismatch:
        return Comparison(pointer.id, obstacle=str(mismatch))
    revision = platform.encoder.revision
    if champion.encoder_revision != revision:
        why = f"it reads vectors of encoder {champion.encoder_revision}, these rows are of {revision}"
        return Comparison(pointer.id, obstacle=why)
    utterance = UtteranceModel.load(releases.utterance_folder(platform), revision)
    model = BehaviorModel.load(releases.behavior_folder(platform))
    found, period = compare_behavior(
        Judge(champion.behavior, champion.rows, champion.manifest.metrics["behavior"]["periods"]),
        Judge(model, RowBuilder(utterance), releases.read_report(platform, "behavior")["periods"]),
        rows,
        seed,
    )
    texts = compare_texts(platform, champion, utterance, seed)
    return Comparison(pointer.id, (*found, *texts), period)


def compare_texts(
    platform: Platform, champion: Release, challenger: UtteranceModel, seed: int
) -> tuple[TargetComparison, ...]:
    known = learned(champion.manifest)
    before = 0 if known is None else known.corrections_until
    return compare_utterance(
        champion.utterance,
        challenger,
        platform.encoder,
        agreed(c for c in corrections(platform.lake) if c.given_at > before),
        HeldOut.read(releases.held_out_corrections(platform)),
        own_test=platform.settings.utterances is None,
        seed=seed,
        cache=releases.embedded_utterances(platform),
    )
