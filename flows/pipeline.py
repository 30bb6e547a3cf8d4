"""The whole journey of a book, as one Prefect flow: each line below is one step, one file.

source -> books, sections -> sentences -> vocabulary -> token_ids -> language model -> sentences
                                  |                                              from bags
                                  +-> texts -> codes, clusters -> map, and how far to believe it
"""

import time
from typing import Any

from prefect import flow

from flows.environment import LONGEST_RUN_SECONDS, with_shelf
from flows.notices import TOLD
from flows.run_names import retraining_name, tag
from flows.run_process import settle_in
from flows.run_settings import RunSettings
from tasks.average import AverageSettings, average
from tasks.chart import ChartSettings, chart
from tasks.cluster import ClusterSettings, cluster
from tasks.count import CountSettings, count
from tasks.embed import EmbedSettings, embed
from tasks.encode import EncodeSettings, encode
from tasks.evaluate import EvaluateSettings, evaluate
from tasks.judge import JudgeSettings, judge
from tasks.measure import MeasureSettings, measure
from tasks.pick import RunPickSettings, pick
from tasks.promote import PromoteSettings, promote
from tasks.publish import publish
from tasks.read import ReadSettings, read
from tasks.recover import RecoverSettings, recover
from tasks.seams.step_cache import unlinked
from tasks.seams.training_settings import TrainSettings
from tasks.tokenise import TokeniseSettings, tokenise
from tasks.train import train
from tasks.train_afresh import train_afresh
from tasks.tune import TuneSettings, tune
from tasks.warm_start import WarmStartSettings, warm_start
from tasks.weigh import WeighSettings, weigh


class PipelineSettings(RunSettings):
    """Settings of a run; those of each step stand beside the step."""

    name: str = "pipeline"
    """What these settings are called: the end of the run's name, retrain plays 2026-11-23 quick."""
    warm_start: WarmStartSettings = WarmStartSettings()
    read: ReadSettings = ReadSettings()
    tokenise: TokeniseSettings = TokeniseSettings()
    count: CountSettings = CountSettings()
    embed: EmbedSettings = EmbedSettings()
    train: TrainSettings = TrainSettings()
    tune: TuneSettings = TuneSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    pick: RunPickSettings = RunPickSettings()
    recover: RecoverSettings = RecoverSettings()
    weigh: WeighSettings = WeighSettings()
    average: AverageSettings = AverageSettings()
    cluster: ClusterSettings = ClusterSettings()
    judge: JudgeSettings = JudgeSettings()
    promote: PromoteSettings = PromoteSettings()


@flow(
    name="bookloom",
    flow_run_name=retraining_name,
    on_running=[settle_in, tag],
    persist_result=False,
    timeout_seconds=LONGEST_RUN_SECONDS,
    **TOLD,
)
def pipeline(settings: PipelineSettings = PipelineSettings()) -> dict[str, Any]:  # noqa: B008
    """Read books, train a language model, pick sentences from bags, draw the map of the texts."""
    started = time.time()
    with settings.opened() as run:
        before = [warm_start(run, settings.warm_start)] if settings.warm_start.model else []
        sources = with_shelf(settings.read.books)
        books = read(run, settings.read.model_copy(update={"books": sources}), *before)
        sentences = tokenise(run, settings.tokenise, books)
        vocabulary = count(run, settings.count, books, sentences, *before)
        token_ids = encode(run, EncodeSettings(), books, sentences, vocabulary)

        vectors = embed(run, settings.embed, vocabulary, token_ids)
        to_learn_from = (sentences, vocabulary, token_ids, vectors)
        trained = train(run, settings.train, *to_learn_from, *before)
        is_compared = before and settings.warm_start.compare
        # By the clock each would settle a number of steps for itself.
        clocked = [trained] if settings.train.minutes is not None else []
        learned = (*to_learn_from, *clocked)
        afresh = [train_afresh(run, settings.train, *learned)] if is_compared else []
        model = tune(run, settings.tune, token_ids, trained)
        perplexities = evaluate(run, settings.evaluate, token_ids, model, *afresh)
        picked = pick(run, settings.pick, model)
        recovered = recover(run, settings.recover, token_ids, model)

        features = weigh(run, settings.weigh, books, sentences)
        is_dense = settings.average.of is not None
        dense = [average(run, settings.average, features, sentences, model)] if is_dense else []
        clusters = cluster(run, settings.cluster, books, features, *dense)
        judged = judge(run, settings.judge, features, clusters, *dense)
        charts = chart(run, ChartSettings(), books, features, clusters, judged)

        made = [*before, books, sentences, vocabulary, token_ids, vectors, trained, *afresh, model]
        made += [perplexities, picked, recovered, features, *dense, clusters, judged, charts]
        measured = (vocabulary, trained, perplexities, recovered, clusters, judged)
        metrics = measure(run, MeasureSettings(), *measured)
        summary = publish(run, started, unlinked([*made, metrics]), wait_for=[metrics])
        uri = summary["model"]["uri"]
        promotion = promote(run, settings.promote, started, uri, unlinked(made), wait_for=[summary])
    return {**summary, "promotion": promotion}
