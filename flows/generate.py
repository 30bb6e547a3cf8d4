"""Many bag sets at once, as a Prefect flow: a table of bags in, a table of sentences out."""

import time
from pathlib import Path
from typing import Any

from prefect import flow, task

from data.bag_schemas import BAG_REFUSALS, BAG_SENTENCES
from flows.environment import LONGEST_RUN_SECONDS, home, home_store, tracking_uri
from flows.notices import TOLD
from flows.run_names import generation_name, tag
from flows.run_process import settle_in
from tasks.generate import GenerateSettings
from tasks.generate import generate as generate_sentences
from tasks.seams.report import markdown_table, show_markdown
from tasks.seams.run_context import open_lone_run

_generate = task(name="generate", persist_result=False)(generate_sentences)


@flow(
    name="generate",
    flow_run_name=generation_name,
    on_running=[settle_in, tag],
    persist_result=False,
    timeout_seconds=LONGEST_RUN_SECONDS,
    **TOLD,
)
def generate(settings: GenerateSettings = GenerateSettings()) -> dict[str, Any]:  # noqa: B008
    """Pick sentences for every bag set of a file, and keep them, and the refusals, as tables."""
    if settings.out is None:
        name = f"{Path(settings.bags).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        settings = settings.model_copy(update={"out": str(home() / "generated" / name)})
    with open_lone_run(
        "generate",
        store=home_store(),
        tracking_uri=tracking_uri(),
        settings=settings.model_dump(mode="json"),
    ) as tracked:
        started = time.monotonic()
        result = _generate(tracking_uri(), settings)
        seconds = time.monotonic() - started
        tracked.set_tags({"model": result["model"]})
        tracked.log_metrics(
            {
                "num_bag_sets": result["num_bag_sets"],
                "num_refused": len(result["refusals"]),
                "sets_per_second": result["num_bag_sets"] / seconds,
            }
        )
        for table in (BAG_SENTENCES, BAG_REFUSALS):
            path = Path(result["files"][table.name])
            tracked.log_file(f"{table.name}.parquet", path.read_bytes())
    show_markdown("generated", _report(result), "Sentences from bags")
    return {**result, "mlflow_run_id": tracked.run_id}


def _report(result: dict[str, Any]) -> str:
    best = [[row["bag_set_id"], row["sentence"], row["score"]] for row in result["first_sentences"]]
    refused = [[row["bag_set_id"], row["reason"], row["remedy"]] for row in result["refusals"]]
    parts = [
        f"{result['num_bag_sets']:,} bag sets, {len(refused):,} of them refused.",
        markdown_table(["bag set", "sentence", "score"], best),
    ]
    if refused:
        parts += ["Refused:", markdown_table(["bag set", "reason", "remedy"], refused[:100])]
    return "\n\n".join(parts)
