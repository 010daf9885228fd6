import shutil

import dagster as dg
import msgspec

from models.behavior.comparison import Comparison, Decision, comparison_section, decide
from models.behavior.report import BehaviorReport
from models.behavior.tables import data_line, overview, target_section
from models.document import Section, markdown
from models.release import gates
from models.release_report import FOLDER, PAGE, read_report
from models.runtime.utterance import UtteranceModel
from models.utterance.evaluation import utterance_lines, utterance_section
from orchestration import releases
from orchestration.challenger import compare
from orchestration.defs.release.stage import stage_model
from orchestration.defs.training.assets import label_horizon, read_training_rows, training_rows
from orchestration.resources import Platform
from orchestration.scores import corrections

SEED = 7
OWNERS = ["team:machine-learning"]


@dg.asset(
    group_name="release",
    kinds={"transformers", "onnx"},
    owners=OWNERS,
    description="The encoder as the online API runs it: the same vectors, from ONNX.",
)
def served_encoder(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    from models.encoder import export_onnx

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
    deps=[served_encoder, "feedback"],
    group_name="release",
    kinds={"scikitlearn", "onnx"},
    owners=OWNERS,
    description=(
        "What a query or message asks for, in Chinese and English: a head on the encoder, trained on "
        "labelled text and on every correction posted to /v1/feedback."
    ),
)
def utterance_model(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    from models.utterance.build import build_utterance

    corrected = corrections(platform.lake)
    metrics = build_utterance(
        platform.encoder,
        releases.utterance_folder(platform),
        labelled=platform.settings.utterances,
        cache=releases.embedded_utterances(platform),
        corrections=corrected,
        held_out=releases.held_out_corrections(platform),
    )
    newest = max((c.given_at for c in corrected), default=0)
    releases.write_report(platform, "corrections", {"corrections_until": newest})
    tested = metrics.get("test", metrics["held_out"])
    releases.write_report(platform, "utterance", metrics)
    lines = utterance_lines(metrics)
    return dg.MaterializeResult(
        metadata={
            "accuracy": tested["accuracy"],
            "corrections": len(corrected),
            "macro F1": tested["macro_f1"],
            "figures for people": dg.MetadataValue.md("\n".join(f"- {line}" for line in lines)),
            **{
                f"by intent, {name}": dg.MetadataValue.md(markdown(utterance_section(name, measured)))
                for name, measured in metrics.items()
            },
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
    from models.behavior.train import train_behavior

    report = train_behavior(
        read_training_rows(platform),
        UtteranceModel.load(releases.utterance_folder(platform), platform.encoder.revision),
        releases.behavior_folder(platform),
        SEED,
        provenance=releases.provenance(platform.lake),
    )
    releases.write_report(platform, "behavior", report)
    releases.write_report(platform, "labels", {"label_horizon": label_horizon(platform)})
    lines = "\n".join(f"- {line}" for line in report.lines())
    return dg.MaterializeResult(
        metadata={
            "figures on later, unseen sessions": dg.MetadataValue.md(lines),
            "after 1, 3, 5 and 10 events": dg.MetadataValue.md(figures_by_events(report)),
            **{
                target: dg.MetadataValue.md(markdown(target_section(target, report)))
                for target in report.targets
            },
            "trained on": report.provenance,
        }
    )


@dg.asset(
    deps=[behavior_model, utterance_model, served_encoder, training_rows],
    group_name="release",
    kinds={"onnx", "mlflow"},
    owners=OWNERS,
    description=(
        "The challenger, trained last, against the champion, which is served: both on the same sessions, "
        "later than what either learned from, and on corrected texts that neither saw. It is promoted only "
        "if better beyond noise somewhere and worse beyond noise nowhere."
    ),
)
def challenger_comparison(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    comparison = compare(platform, read_training_rows(platform), SEED)
    decision = decide(comparison)
    releases.write_report(platform, "comparison", comparison)
    section = comparison_section(comparison, decision)
    releases.write_section(platform, "comparison", section)
    return dg.MaterializeResult(
        metadata={
            "champion": comparison.champion or "none yet",
            "promote": decision.promote,
            "why": decision.why,
            "comparison": dg.MetadataValue.md(markdown(section)),
        }
    )


@dg.asset(
    deps=[behavior_model, utterance_model, stage_model, served_encoder, challenger_comparison],
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
        "Feature order, behaviour, utterance and stage models and encoder revision as one thing, tracked in "
        "MLflow. It is served if it passes its gates and is better than what is served; else it is kept, "
        "with the reason, and `intent release promote` has it served all the same. `intent release "
        "rollback` takes the step back."
    ),
)
def release(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    comparison = msgspec.convert(releases.read_report(platform, "comparison"), Comparison)
    release_id = releases.build(platform, releases.today())
    path = platform.releases / release_id
    failures = gates(path, platform.encoders)
    decision = decide(comparison)
    now_served = releases.served(platform)
    if (now_served.id if now_served else None) != comparison.champion:
        decision = Decision(False, "what is served has changed since it was compared with: compare again")
    if failures:
        decision = Decision(False, f"it does not pass its gates: {'; '.join(failures)}")
    nothing_served = now_served is None
    yield dg.AssetCheckResult(
        asset_key="release",
        check_name="release_may_be_served",
        passed=not failures,
        severity=dg.AssetCheckSeverity.ERROR if nothing_served else dg.AssetCheckSeverity.WARN,
        metadata={"failures": dg.MetadataValue.md("\n".join(f"- {f}" for f in failures) or "none")},
    )
    if failures and nothing_served:
        raise dg.Failure(
            f"{release_id} is not served, and nothing was served before: {'; '.join(failures)}",
            allow_retries=False,
        )
    pointer = releases.settle(platform, release_id, comparison, decision)
    yield dg.MaterializeResult(
        metadata={
            "release": release_id,
            "promoted": decision.promote,
            "why": decision.why,
            "served": pointer.id,
            "served before": ", ".join(pointer.previous),
            "report": dg.MetadataValue.path(str(path / FOLDER / PAGE)),
            "figures on later, unseen sessions": dg.MetadataValue.md(
                figures_by_events(read_report(path).behavior)
            ),
            "tracked in": dg.MetadataValue.path(str(platform.tracking)),
        }
    )


def figures_by_events(report: BehaviorReport) -> str:
    return markdown(Section("", (data_line(report),), (overview(report),)))
