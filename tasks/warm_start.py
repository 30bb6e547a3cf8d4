"""Warm start: a registered model -> the model to go on from, warm_start_sections.

in    a model of MLflow's registry, and the record of the run that made it
does  fetches it into the store, and looks up which text it has learned from
out   the model's file; the digests of the sections that it has seen, which may not be held out
"""

import logging
from collections.abc import Mapping

from data.errors import UserMistake
from data.model_schemas import WARM_START_MODEL_FILE, WARM_START_SECTIONS
from data.settings import Settings
from data.store import Store
from models.bundle import Bundle
from tasks.seams.champions import CHAMPION
from tasks.seams.learned_sections import learned_sections, text_digest
from tasks.seams.registry import champion_model, newest_model, read_bundle
from tasks.seams.report import say
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepRun, step

NEWEST = "newest"


class WarmStartSettings(Settings):
    """Whether to go on from a model that was trained on other books."""

    model: str | None = None
    """An MLflow model URI, such as models:/bookloom/1; `champion` for the one in use, `newest` for
    the newest one; none to start afresh."""
    compare: bool = True
    """Also train a model afresh, in as many steps, to see what the warm start gains. It takes as
    long again."""


def model_digest(settings: WarmStartSettings, context: RunContext) -> Mapping[str, str]:
    """Which model the URI means now, and what that has learned from: both count in the key."""
    _, bundle = _fetched(settings, context)
    digest = bundle.digest()
    learned = learned_sections(Store(context.store), digest)
    return {"model": digest, "its training text": text_digest(learned)}


@step(writes=(WARM_START_SECTIONS,), outside=model_digest)
def warm_start(run: StepRun, settings: WarmStartSettings) -> None:
    """Write the model to go on from, and what it has learned from."""
    uri, bundle = _fetched(settings, run.context)
    digest = bundle.digest()
    learned = learned_sections(run.store, digest)
    if learned is None:
        say(
            f"{uri} was not made in this store: what it has learned from is not known. If held-out "
            "text was among it, the perplexities of this run flatter.",
            logging.WARNING,
        )
    else:
        say(f"going on from {uri}, which has learned from {len(learned):,} sections")
    run.write(WARM_START_SECTIONS, {"sha256": learned or []})
    run.write_file(WARM_START_MODEL_FILE, bundle.to_bytes(), digest)


def _fetched(settings: WarmStartSettings, context: RunContext) -> tuple[str, Bundle]:
    if settings.model is None or context.tracking_uri is None:
        raise UserMistake(
            "A warm start needs a model.", "Set warm_start.model, such as to models:/bookloom/1."
        )
    named = {NEWEST: newest_model, CHAMPION: champion_model}.get(settings.model)
    uri = named(context.tracking_uri) if named else settings.model
    uri, content = read_bundle(context.tracking_uri, uri)
    return uri, Bundle.from_bytes(content)
