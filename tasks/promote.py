"""Promote: a run's language model, sentences, the champion -> section_scores; who is champion.

in    the run's finished model and its test text; the champion of MLflow's registry
does  has both read the same books, each by its own vocabulary; sets aside the sections that either
      has learned from or was tuned on; tells from the rest if the new one is better beyond chance
out   what each section costs both; the model is champion, or is refused: on record with the reason

Only the test split counts: the new model was tuned on the validation text. The champion was tuned
on that of its own run, and as a shelf grows, books go from one split to another: where such text is
test text now, it is set aside, too. Both are read as perplexities are: the language model alone,
from a fresh state in each book, or in each section where a model was trained so. What was chosen
for picking from bags (opening, discount, share of n-grams) does not count.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote
from pydantic import Field

from data.book_schemas import SECTIONS, SENTENCES
from data.errors import UserMistake
from data.model_schemas import LANGUAGE_MODEL_FILE, SECTION_SCORES, WARM_START_SECTIONS
from data.settings import Settings
from data.store import Store
from models.bundle import Bundle
from models.evaluation import Nats, target_nats
from models.paired_bootstrap import FEWEST_SECTIONS, paired_bootstrap
from models.shared_events import UnknownShares
from models.special_tokens import END, SPECIAL_TOKENS, START, UNKNOWN, TokenIds
from models.vocabulary import Vocabulary
from tasks.seams.champions import Champions, Version
from tasks.seams.learned_sections import learned_sections, text_digest, tuned_sections
from tasks.seams.promotion import FORCE, Comparison, Verdict, settled, tags_of
from tasks.seams.registry import NoModel, read_bundle
from tasks.seams.report import escaped, markdown_table, say, show_markdown
from tasks.seams.retrying import tried_again
from tasks.seams.run_context import RunContext
from tasks.seams.run_records import Made, add_to_record
from tasks.seams.step_cache import StepOutcome, StepRun, step
from tasks.seams.tracking import open_tracker


class PromoteSettings(Settings):
    """When a new model takes the champion's place."""

    margin: float = Field(0.002, ge=0.0, lt=1.0)
    """Share of the champion's nats per character that the new model must save."""
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    """How sure it must be that it saves more than the margin."""
    num_resamples: int = Field(2000, ge=100)
    """Draws of sections that this is told from."""
    force: bool = False
    """Promote the new model whatever comes out. It is marked as forced."""


class CompareSettings(Settings):
    """Which registered model to hold the run's own against."""

    champion: str
    """Its URI, by version."""
    digest: str
    """Of the model, which must be that of the URI."""


def training_text(settings: CompareSettings, context: RunContext) -> Mapping[str, str]:
    """What the champion has learned from, and was tuned on, counts in the key."""
    store = Store(context.store)
    return {
        "training text of the champion": text_digest(learned_sections(store, settings.digest)),
        "validation text of the champion": text_digest(tuned_sections(store, settings.digest)),
    }


@step(
    reads=(SECTIONS, SENTENCES),
    may_read=(WARM_START_SECTIONS,),
    reads_files=(LANGUAGE_MODEL_FILE,),
    writes=(SECTION_SCORES,),
    libraries=("torch", "numpy"),
    seeded=True,  # sums depend on the number of threads
    outside=training_text,
)
def compare(run: StepRun, settings: CompareSettings) -> None:
    """Write what each section of the test split costs the run's model and the champion."""
    assert run.context.tracking_uri is not None, "a run without a registry compares nothing"
    model = Bundle.from_bytes(run.read_file(LANGUAGE_MODEL_FILE))
    champion = _read_champion(run.context.tracking_uri, settings.champion)
    sections = run.read(SECTIONS, ["book_id", "section_index", "split", "sha256"])
    learned = {*sections.filter(pc.equal(sections["split"], "train"))["sha256"].to_pylist()}
    if run.has(WARM_START_SECTIONS):
        learned |= {*run.read(WARM_START_SECTIONS)["sha256"].to_pylist()}
    champion_learned = {
        *(learned_sections(run.store, settings.digest) or ()),
        *(tuned_sections(run.store, settings.digest) or ()),
    }
    held_out = _held_out(run, sections, [model.vocabulary, champion.vocabulary])
    scores = _read_by_both(held_out, model, champion)
    texts = [score.text for score in scores]
    own, champions = ([text.token_ids[number] for text in texts] for number in (0, 1))
    run.write(
        SECTION_SCORES,
        {
            "book_id": [text.book_id for text in texts],
            "section_index": [text.section_index for text in texts],
            "num_tokens": [len(ids) for ids in own],
            "num_characters": [text.num_characters for text in texts],
            "nats": [score.nats for score in scores],
            "champion_nats": [score.champion_nats for score in scores],
            "num_unknown": [int(np.sum(ids == UNKNOWN)) for ids in own],
            "champion_num_unknown": [int(np.sum(ids == UNKNOWN)) for ids in champions],
            "learned": [text.sha256 in learned for text in texts],
            "champion_learned": [text.sha256 in champion_learned for text in texts],
        },
    )


@task(
    name="promote",
    task_run_name="promote",
    cache_policy=NO_CACHE,
    persist_result=False,
    **tried_again(),
)
def promote(
    context: RunContext,
    settings: PromoteSettings,
    started_unix_seconds: float,
    model_uri: str | None,
    outcomes: Sequence[StepOutcome],
) -> dict[str, Any] | None:
    """Make the run's model champion if it beats the one that is; gives the summary's `promotion`.

    Args:
        context: of the run.
        settings: when it is to be promoted.
        started_unix_seconds: when the run started: by that its record is named.
        model_uri: as what the model is registered; None, where nothing is, promotes nothing.
        outcomes: of the run's steps.
    """
    if model_uri is None or context.tracking_uri is None:
        return None
    made = Made(context, outcomes)

    def judge(champion: Version) -> Verdict:
        return _judged(context, settings, made, outcomes, champion)

    champions = Champions(context.tracking_uri)
    promotion = settled(champions, model_uri, judge, force=settings.force)
    say(f"{model_uri}: {promotion_text(promotion)}")
    open_tracker(context.tracking_uri).run(context.mlflow_run_id).set_tags(tags_of(promotion))
    show_markdown("promotion", _report(promotion, settings), "Whether the new model is champion")
    add_to_record(context, started_unix_seconds, {"promotion": promotion})
    return promotion


def promotion_text(promotion: Mapping[str, Any]) -> str:
    """The verdict in a line or two."""
    return " ".join(
        [f"{promotion['verdict']}.", promotion["reason"], *[promotion["remedy"] or ""]]
    ).rstrip()


def _judged(
    context: RunContext,
    settings: PromoteSettings,
    made: Made,
    outcomes: Sequence[StepOutcome],
    champion: Version,
) -> Verdict:
    assert context.tracking_uri is not None
    try:
        bundle = _read_champion(context.tracking_uri, champion.uri)
    except (NoModel, _Unreadable) as mistake:
        return Verdict(verdict="refused", reason=mistake.message, remedy=FORCE)
    own = Bundle.from_bytes(made.file(LANGUAGE_MODEL_FILE)).vocabulary
    if (own.unit, own.lower_case) != (bundle.vocabulary.unit, bundle.vocabulary.lower_case):
        reason = (
            f"It predicts {_what(own)}, {champion.uri} predicts {_what(bundle.vocabulary)}: their "
            "costs can't be compared."
        )
        return Verdict(verdict="refused", reason=reason, remedy=FORCE)
    choice = CompareSettings(champion=champion.uri, digest=bundle.digest())
    outcome = compare(context, choice, *map(quote, outcomes))
    rows = Made(context, [outcome]).read(SECTION_SCORES)
    table = outcome.tables[SECTION_SCORES.name]
    where = {"path": made.store.path(table.name), "digest": table.digest, "rows": table.num_rows}
    verdict = verdict_on(rows, settings, champion.uri, context.seed)
    is_known = learned_sections(made.store, choice.digest) is not None
    if WARM_START_SECTIONS.name in made.tables:
        is_known = is_known and made.tables[WARM_START_SECTIONS.name].num_rows > 0
    reason = verdict.reason
    if not is_known:
        reason += (
            " What one of them has learned from is not known in this store: if it was this text, "
            "the figures flatter it."
        )
    more = {"reason": reason, "training_text_known": is_known, "scores": where}
    return verdict.model_copy(update=more)


def verdict_on(
    scores: pa.Table, settings: PromoteSettings, champion_uri: str, seed: int
) -> Verdict:
    """Whether a new model is better than the champion by more than the margin and chance."""
    is_left_out = pc.or_(scores["learned"], scores["champion_learned"])
    counted = scores.filter(pc.invert(is_left_out))
    if len(counted) < FEWEST_SECTIONS:
        reason = (
            f"Of {len(scores)} test sections, {len(counted)} are new to both models: too few to "
            f"hold it against {champion_uri}."
        )
        remedy = f"Read books that neither has learned from. {FORCE}"
        return Verdict(verdict="refused", reason=reason, remedy=remedy)
    nats_S, champion_nats_S = (
        counted[name].to_numpy().astype(np.float64) for name in ("nats", "champion_nats")
    )
    improvement = paired_bootstrap(
        champion_nats_S,
        nats_S,
        confidence=settings.confidence,
        num_resamples=settings.num_resamples,
        seed=seed,
    )
    num_characters = int(pc.sum(counted["num_characters"]).as_py())
    comparison = Comparison(
        nats_per_character=float(nats_S.sum()) / num_characters,
        champion_nats_per_character=float(champion_nats_S.sum()) / num_characters,
        improvement=improvement.share,
        improvement_at_least=improvement.at_least,
        num_sections=len(counted),
        num_characters=num_characters,
        num_sections_left_out=len(scores) - len(counted),
    )
    is_better = improvement.at_least > settings.margin
    return Verdict(
        verdict="promoted" if is_better else "refused",
        reason=(
            f"It takes {comparison.nats_per_character:.4f} nats per character where {champion_uri} "
            f"takes {comparison.champion_nats_per_character:.4f}, on {len(counted)} sections that "
            f"neither has learned from: better by {improvement.share:.2%}, by at least "
            f"{improvement.at_least:.2%} with {settings.confidence:.0%} confidence. The margin is "
            f"{settings.margin:.2%}."
        ),
        remedy=None if is_better else FORCE,
        comparison=comparison,
    )


class _Text(NamedTuple):
    """A held-out section; token ids by each vocabulary, every sentence closed by `_end_`."""

    book_id: str
    section_index: int
    sha256: str
    num_characters: int
    token_ids: tuple[TokenIds, ...]


class _Unreadable(UserMistake):
    """The champion's file is there, but no model can be made of it."""


class _Score(NamedTuple):
    text: _Text
    nats: float
    champion_nats: float


def _held_out(
    run: StepRun, sections: pa.Table, vocabularies: Sequence[Vocabulary]
) -> dict[str, list[_Text]]:
    """The sections of the test split by book, in order; those without a sentence are none."""
    rows = sections.filter(pc.equal(sections["split"], "test")).to_pylist()
    sha256_of = {(row["book_id"], row["section_index"]): row["sha256"] for row in rows}
    books = pa.array(sorted({book_id for book_id, _ in sha256_of}), pa.string())
    num_characters = dict.fromkeys(sha256_of, 0)
    parts: dict[tuple[str, int], list[list[TokenIds]]] = {key: [] for key in sha256_of}
    columns = ["book_id", "section_index", "num_characters", "tokens"]
    for group in run.row_groups(SENTENCES, columns):
        of_books = group.filter(pc.is_in(group["book_id"], value_set=books))
        for row in of_books.to_pylist():
            key = row["book_id"], row["section_index"]
            if key in parts:
                num_characters[key] += row["num_characters"] + 1
                parts[key].append(
                    [np.array([*v.encode(row["tokens"]), END], np.int32) for v in vocabularies]
                )
    held_out: dict[str, list[_Text]] = {}
    for key in sorted(parts):
        if parts[key]:
            token_ids = tuple(np.concatenate(own) for own in zip(*parts[key], strict=True))
            text = _Text(*key, sha256_of[key], num_characters[key], token_ids)
            held_out.setdefault(text.book_id, []).append(text)
    return held_out


def _read_by_both(
    held_out: Mapping[str, Sequence[_Text]], model: Bundle, champion: Bundle
) -> list[_Score]:
    """What each section costs both, when they read the books from their first held-out word on."""
    bundles = (model, champion)
    words = [set(bundle.vocabulary.tokens[len(SPECIAL_TOKENS) :]) for bundle in bundles]
    shares = UnknownShares.of(*words), UnknownShares.of(*reversed(words))
    opening = np.array([START], np.int32)
    nats_of: list[list[Nats]] = []
    for number, bundle in enumerate(bundles):
        next_opening = opening if bundle.sections_open else opening[:0]
        own = [
            [opening, *(part for text in texts for part in (text.token_ids[number], next_opening))]
            for texts in held_out.values()
        ]
        nats_of.append(target_nats(bundle.model, [np.concatenate(parts) for parts in own]))
    scores = []
    for texts, *nats in zip(held_out.values(), *nats_of, strict=True):
        ends = np.cumsum([len(text.token_ids[0]) for text in texts])
        for text, *own in zip(texts, *(np.split(one, ends[:-1]) for one in nats), strict=True):
            ids, champions = text.token_ids
            added = shares[0].nats(ids, champions), shares[1].nats(champions, ids)
            costs = (float((one + more).sum()) for one, more in zip(own, added, strict=True))
            scores.append(_Score(text, *costs))
    return scores


def _read_champion(tracking_uri: str, uri: str) -> Bundle:
    _, content = read_bundle(tracking_uri, uri)
    try:
        return Bundle.from_bytes(content)
    except ValueError as error:
        raise _Unreadable(f"The champion {uri} can't be read: {error}.", FORCE) from error


def _what(vocabulary: Vocabulary) -> str:
    return f"{vocabulary.unit}s {'in lower case' if vocabulary.lower_case else 'as written'}"


def _report(promotion: Mapping[str, Any], settings: PromoteSettings) -> str:
    parts = ["# Promotion", f"**{promotion['verdict']}**: {escaped(promotion['reason'])}"]
    if promotion["remedy"]:
        parts.append(escaped(promotion["remedy"]))
    if promotion["champion_before"]:
        rows = [
            ["registered as", promotion["model"], promotion["champion_before"]],
            [
                "nats per character",
                promotion["nats_per_character"],
                promotion["champion_nats_per_character"],
            ],
        ]
        parts.append(markdown_table(["", "new model", "champion so far"], rows))
    if promotion["improvement"] is not None:
        rows = [
            ["better by", f"{promotion['improvement']:.2%}"],
            [
                f"at least, {settings.confidence:.0%} sure",
                f"{promotion['improvement_at_least']:.2%}",
            ],
            ["margin", f"{settings.margin:.2%}"],
            ["sections compared", promotion["num_sections"]],
            ["left out, as one has seen them before", promotion["num_sections_left_out"]],
        ]
        parts.append(markdown_table(["", ""], rows))
    parts.append(f"Champion now: {escaped(promotion['champion'])}")
    return "\n\n".join(parts)
