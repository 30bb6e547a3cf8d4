"""The map of the texts alone: no language model is trained.

source -> books, sections -> sentences -> texts -> codes, clusters -> map, and how far to believe it
"""

import time
from typing import Any

from prefect import flow

from flows.environment import LONGEST_RUN_SECONDS, with_shelf
from flows.notices import TOLD
from flows.run_names import map_name, tag
from flows.run_process import settle_in
from flows.run_settings import RunSettings
from tasks.average import AverageSettings, average
from tasks.chart import ChartSettings, chart
from tasks.cluster import ClusterSettings, cluster
from tasks.judge import JudgeSettings, judge
from tasks.measure import MeasureSettings, measure
from tasks.publish import publish_map
from tasks.read import ReadSettings, read
from tasks.seams.champions import CHAMPION
from tasks.seams.step_cache import unlinked
from tasks.tokenise import TokeniseSettings, tokenise
from tasks.warm_start import WarmStartSettings, warm_start
from tasks.weigh import WeighSettings, weigh


class TextsMapSettings(RunSettings):
    """Settings of a map; those of each step stand beside the step."""

    name: str = "map"
    """What these settings are called: the end of the run's name, map of plays 2026-11-23 style."""
    read: ReadSettings = ReadSettings()
    tokenise: TokeniseSettings = TokeniseSettings()
    weigh: WeighSettings = WeighSettings()
    average: AverageSettings = AverageSettings()
    model: str = CHAMPION
    """Whose word vectors or states are averaged, where `average.of` asks for them: a registered
    language model, such as models:/bookloom/1, or champion, or newest."""
    cluster: ClusterSettings = ClusterSettings()
    judge: JudgeSettings = JudgeSettings()


@flow(
    name="bookloom-cluster",
    flow_run_name=map_name,
    on_running=[settle_in, tag],
    persist_result=False,
    timeout_seconds=LONGEST_RUN_SECONDS,
    **TOLD,
)
def texts_map(settings: TextsMapSettings = TextsMapSettings()) -> dict[str, Any]:  # noqa: B008
    """Read books, cluster their texts, draw the map and say how far to believe it."""
    started = time.time()
    with settings.opened() as run:
        sources = with_shelf(settings.read.books)
        books = read(run, settings.read.model_copy(update={"books": sources}))
        sentences = tokenise(run, settings.tokenise, books)
        features = weigh(run, settings.weigh, books, sentences)
        model, dense = [], []
        if settings.average.of is not None:
            model = [warm_start(run, WarmStartSettings(model=settings.model))]
            dense = [average(run, settings.average, features, sentences, *model)]
        clusters = cluster(run, settings.cluster, books, features, *dense)
        judged = judge(run, settings.judge, features, clusters, *dense)
        charts = chart(run, ChartSettings(), books, features, clusters, judged)
        metrics = measure(run, MeasureSettings(), clusters, judged)

        made = [books, sentences, *model, features, *dense, clusters, judged, charts, metrics]
        summary: dict[str, Any] = publish_map(run, started, unlinked(made), wait_for=[metrics])
    return summary
