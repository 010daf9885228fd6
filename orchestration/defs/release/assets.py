import shutil

import dagster as dg

from models.behavior.plot import reliability_svg
from models.behavior.train import train_behavior
from models.encoder import export_onnx
from models.release import gates
from models.runtime.utterance import UtteranceModel
from models.utterance import build_utterance
from models.utterance.evaluation import utterance_lines
from orchestration import releases
from orchestration.defs.training.assets import read_training_rows, training_rows
from orchestration.resources import Platform

SEED = 7
OWNERS = ["team:machine-learning"]


@dg.asset(
    group_name="release",
    kinds={"transformers", "onnx"},
    owners=OWNERS,
    description="The encoder as the online API runs it: the same vectors, from ONNX.",
)
def served_encoder(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    encoder = platform.encoder
    folder = platform.encoders / encoder.revision
    if not folder.exists():
        partial = folder.with_name(f".partial-{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        export_onnx(encoder, partial)
        partial.rename(folder)
    size_mb = sum(p.stat().st_size for p in folder.iterdir()) / 1e6
    return dg.MaterializeResult(
        metadata={
            "encoder revision": encoder.revision,
            "megabytes": round(size_mb, 1),
            "folder": dg.MetadataValue.path(str(folder)),
        }
    )


@dg.asset(
    deps=[served_encoder],
    group_name="release",
    kinds={"scikitlearn", "onnx"},
    owners=OWNERS,
    description="What a query or message asks for, in Chinese and English: a head on the encoder.",
)
def utterance_model(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    metrics = build_utterance(
        platform.encoder,
        releases.utterance_folder(platform),
        labelled=platform.settings.utterances,
        cache=platform.settings.state / "models" / "embedded-utterances",
    )
    tested = metrics.get("test", metrics["held_out"])
    releases.write_report(platform, "utterance", metrics)
    lines = utterance_lines(metrics)
    return dg.MaterializeResult(
        metadata={
            "accuracy": tested["accuracy"],
            "macro F1": tested["macro_f1"],
            "figures for people": dg.MetadataValue.md("\n".join(f"- {line}" for line in lines)),
            "figures": dg.MetadataValue.json(metrics),
        }
    )


@dg.asset(
    deps=[training_rows, utterance_model],
    group_name="release",
    kinds={"lightgbm", "onnx"},
    owners=OWNERS,
    description=(
        "Calibrated probabilities of purchase, add to cart and leave. Earlier sessions train, later ones "
        "choose and calibrate, and the latest, unseen, give the figures shown here."
    ),
)
def behavior_model(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    report = train_behavior(
        read_training_rows(platform),
        UtteranceModel.load(releases.utterance_folder(platform), platform.encoder.revision),
        releases.behavior_folder(platform),
        SEED,
        provenance=releases.provenance(platform.lake),
    )
    releases.write_report(platform, "behavior", report)
    lines = "\n".join(f"- {line}" for line in report.lines())
    return dg.MaterializeResult(
        metadata={
            "figures on later, unseen sessions": dg.MetadataValue.md(lines),
            "calibration": dg.MetadataValue.md(releases.inline_image(reliability_svg(report))),
            "trained on": report.provenance,
        }
    )


@dg.asset(
    deps=[behavior_model, utterance_model, served_encoder],
    group_name="release",
    kinds={"mlflow", "redis"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "release_may_be_served",
            asset="release",
            blocking=True,
            description="Better than the base rate on later sessions, calibrated, and true to its export.",
        )
    ],
    description=(
        "Feature order, behaviour model, utterance model and encoder revision as one thing, tracked in "
        "MLflow and served if it passes its gates. `intent release rollback` takes the step back."
    ),
)
def release(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    release_id = releases.build(platform, releases.today())
    path = platform.releases / release_id
    failures = gates(path, platform.encoders)
    yield dg.AssetCheckResult(
        asset_key="release",
        check_name="release_may_be_served",
        passed=not failures,
        metadata={"failures": dg.MetadataValue.md("\n".join(f"- {f}" for f in failures) or "none")},
    )
    if failures:
        raise dg.Failure(
            f"{release_id} is not served, what was served before stays: {'; '.join(failures)}",
            allow_retries=False,
        )
    pointer = releases.promote(platform, release_id)
    yield dg.MaterializeResult(
        metadata={
            "release": release_id,
            "served before": ", ".join(pointer.previous),
            "tracked in": dg.MetadataValue.path(str(platform.tracking)),
        }
    )
