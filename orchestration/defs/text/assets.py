import dagster as dg

from orchestration.defs.events.assets import clean_events
from orchestration.gated import contract_of, days_to_run, measure, publish_if_sound
from orchestration.partitions import ONE_RUN, days
from orchestration.quality import suites, text_suites
from orchestration.resources import Platform
from orchestration.staleness import seen_through_tiles
from spark_jobs.jobs import intent_embeddings
from spark_jobs.jobs import text_embeddings as text_job
from spark_jobs.jobs import user_keywords as keywords_job

VIEWS = {
    "user_intent_embedding": "Where each shopper's latest queries and messages point: one unit vector.",
    "query_embedding": "The vector of each query and message, by its normalised form.",
    "item_embedding": "The vector of each item's words: category and brand.",
}


@dg.asset(
    partitions_def=days,
    backfill_policy=ONE_RUN,
    deps=[clean_events],
    group_name="text",
    kinds={"spark", "transformers"},
    owners=["team:machine-learning"],
    check_specs=contract_of("text_embeddings"),
    description=(
        "Queries, messages and item descriptions as vectors of the encoder, each text once per encoder "
        "revision; on GPUs where Spark has them."
    ),
)
def text_embeddings(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    run_days, _ = days_to_run(context, platform)
    revision = platform.encoder.revision
    measured = measure(platform, text_job.run, run_days, revision, platform.encoder_factory())
    suite = {"text_embeddings": suites.text_embeddings(revision)}
    yield from publish_if_sound(platform, suite, run_days, {**measured, "encoder revision": revision})


@dg.multi_asset(
    name="intent_embeddings",
    specs=[
        dg.AssetSpec(
            view,
            deps=[clean_events, text_embeddings, "user_day_tiles"],
            group_name="text",
            kinds={"spark", "feast"},
            owners=["team:machine-learning"],
            description=description,
            partitions_def=days,
        )
        for view, description in VIEWS.items()
    ],
    backfill_policy=ONE_RUN,
    check_specs=contract_of(*VIEWS),
)
def embedding_views(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    run_days, _ = days_to_run(context, platform)
    epochs = {day: seen_through_tiles(platform.lake, day) for day in run_days}
    revision = platform.encoder.revision
    measured = measure(
        platform,
        intent_embeddings.run,
        run_days,
        revision,
        platform.publication_instant(),
        platform.lake.live_days(),
    )
    suite_of = {
        "user_intent_embedding": suites.user_intent_embedding(revision),
        "query_embedding": suites.entity_embedding("query_embedding", "query", revision),
        "item_embedding": suites.entity_embedding("item_embedding", "item_id", revision),
    }
    yield from publish_if_sound(platform, suite_of, run_days, measured, epochs)


@dg.asset(
    partitions_def=days,
    backfill_policy=ONE_RUN,
    deps=[clean_events, "user_day_tiles"],
    group_name="text",
    kinds={"spark", "feast"},
    owners=["team:machine-learning"],
    check_specs=contract_of("user_keywords"),
    description=(
        "What each shopper's latest queries and messages are about: their content words, those that are "
        "recent and rare among shoppers first."
    ),
)
def user_keywords(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    from models.text import load_segmenter

    run_days, _ = days_to_run(context, platform)
    lake = platform.lake
    epochs = {day: seen_through_tiles(lake, day) for day in run_days}
    clock, live = platform.publication_instant(), lake.live_days()
    measured = measure(platform, keywords_job.run, run_days, load_segmenter, clock, live)
    suite = {"user_keywords": text_suites.user_keywords()}
    yield from publish_if_sound(platform, suite, run_days, measured, epochs)
