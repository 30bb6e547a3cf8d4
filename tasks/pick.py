"""Pick: language model, a file of bag sets -> bag_sentences.

in    bag sets, as a person wrote them; a language model
does  finds the best sentences that take one word from each bag, in order
out   for each bag set its best sentences, ranked
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from data.bag_sets import BagSet, encode_bag_sets, parse_bag_sets
from data.errors import UserMistake
from data.schemas import BAG_SENTENCES, LANGUAGE_MODEL_FILE
from models.bundle import Bundle
from models.exact_search import ExactPick
from tasks.seams.report import progress, say
from tasks.seams.run_context import RunContext
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepRun, step
from tasks.seams.tokeniser import as_written
from tasks.seams.tracking import read_bundle

EXAMPLE_BAGS = "examples"
EXAMPLE_PATH = Path(__file__).parents[1] / "data" / "example_bags.txt"


class PickSettings(Settings):
    """Which bags, and how to choose from them."""

    bags: str = EXAMPLE_BAGS
    """A file of bag sets, or `examples` for those that come with bookloom."""
    strategy: Literal["greedy", "beam", "exact"] = "beam"
    """`greedy` takes the best word at each step; `beam` keeps the best beginnings; `exact` goes on
    from there until it is proven that there is none better, or a limit is reached."""
    beam_width: int = Field(64, ge=1)
    """Beginnings kept by `beam`."""
    max_expansions: int = Field(200_000, ge=1)
    """Beginnings of sentences that `exact` reads for a bag set, at most."""
    seconds: float | None = Field(None, gt=0)
    """Time that `exact` takes for a bag set, at most. What it has found by then depends on the
    machine: leave it out where digests should be equal."""
    frequency_discount: float = Field(1.0, ge=0.0)
    """0 picks the most probable sentence, 1 the one that is least explained by common words."""
    num_sentences: int = Field(3, ge=1)
    """Sentences shown for each bag set; `greedy` has one."""
    unknown: Literal["error", "drop"] = "error"
    """A word that the model does not know is an error, or is left out of its bag."""


def bags_digest(settings: PickSettings, _: RunContext) -> Mapping[str, str]:
    """What the file of bag sets holds now: it counts in the step's key."""
    return {"bags": hashlib.sha256(read_bags_text(settings.bags).encode()).hexdigest()}


@step(
    reads_files=(LANGUAGE_MODEL_FILE,),
    writes=(BAG_SENTENCES,),
    libraries=("torch", "nltk"),
    seeded=True,  # sums depend on the number of threads
    outside=bags_digest,
)
def pick(run: StepRun, settings: PickSettings) -> None:
    """Write the best sentences of every bag set of the file."""
    bundle = Bundle.from_bytes(run.read_file(LANGUAGE_MODEL_FILE))
    bag_sets = parse_bag_sets(read_bags_text(settings.bags), settings.bags)
    run.write(BAG_SENTENCES, pick_sentences(bundle, bag_sets, settings, "this run"))


def generate(tracking_uri: str, model_uri: str | None, settings: PickSettings) -> dict[str, Any]:
    """Sentences for a file of bag sets by a registered model: `bookloom generate`.

    Gives `model` (the model's URI) and `bag_sets`, each with its `bag_set_id` and its
    `sentences`: rows of `bag_sentences`.

    Raises:
        UserMistake: no such model, a bags file that cannot be read, an unknown word.
    """
    bag_sets = parse_bag_sets(read_bags_text(settings.bags), settings.bags)
    uri, content = read_bundle(tracking_uri, model_uri)
    columns = pick_sentences(Bundle.from_bytes(content), bag_sets, settings, uri)
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    by_set = groupby(rows, key=lambda row: row["bag_set_id"])
    return {
        "model": uri,
        "bag_sets": [{"bag_set_id": name, "sentences": list(own)} for name, own in by_set],
    }


def read_bags_text(path: str) -> str:
    """The text of a file of bag sets.

    Raises:
        UserMistake: it cannot be read.
    """
    place = EXAMPLE_PATH if path == EXAMPLE_BAGS else Path(path)
    remedy = "Name a UTF-8 text file with one bag set a line."
    try:
        return place.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserMistake(f"{path} is not UTF-8 at byte {error.start}.", remedy) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserMistake(f"The bags file {path} cannot be read: {reason}.", remedy) from error


def pick_sentences(
    bundle: Bundle, bag_sets: Sequence[BagSet], settings: PickSettings, model_name: str
) -> dict[str, list[Any]]:
    """The columns of `bag_sentences` for these bag sets.

    Raises:
        UserMistake: a word that the model does not know, where `unknown` is `error`.
    """
    if settings.unknown == "drop":
        bag_sets = _known_only(bag_sets, bundle)
    vocabulary = bundle.vocabulary
    ids = encode_bag_sets(
        bag_sets,
        vocabulary.id_of,
        normalise=vocabulary.fold,
        unit=vocabulary.unit,
        source=settings.bags,
        model_name=model_name,
    )
    columns: dict[str, list[Any]] = {name: [] for name in BAG_SENTENCES.schema.names}
    with progress("pick sentences", len(ids), "sets") as advance:
        for bag_set, picked in zip(bag_sets, _picked(bundle, ids, settings), strict=True):
            for rank, sentence in enumerate(picked.sentences, 1):
                tokens = [vocabulary.tokens[token_id] for token_id in sentence.token_ids]
                row = {
                    "bag_set_id": bag_set.bag_set_id,
                    "rank": rank,
                    "tokens": tokens,
                    "sentence": as_written(tokens, vocabulary.unit),
                    "log_probability_nats": sentence.log_probability_nats,
                    "score": sentence.score,
                    "strategy": settings.strategy,
                    "proven_best": rank == 1 and picked.is_proven,
                    "score_bound": picked.score_bound if picked.score_bound < math.inf else None,
                }
                for name, value in row.items():
                    columns[name].append(value)
            advance(1)
    return columns


def _picked(
    bundle: Bundle, bag_sets: Sequence[Sequence[Sequence[int]]], settings: PickSettings
) -> Iterator[ExactPick]:
    """The sentences of each bag set, with what is proven of them."""
    discount, beam_width = settings.frequency_discount, settings.beam_width
    if settings.strategy == "exact":
        for bags in bag_sets:
            yield bundle.pick_exact(
                bags,
                frequency_discount=discount,
                num_sentences=settings.num_sentences,
                beam_width=beam_width,
                max_expansions=settings.max_expansions,
                seconds=settings.seconds,
            )
        return
    beam_width = 1 if settings.strategy == "greedy" else beam_width
    picked = bundle.pick(
        bag_sets,
        frequency_discount=discount,
        beam_width=beam_width,
        num_sentences=min(settings.num_sentences, beam_width),
    )
    for bags, sentences in zip(bag_sets, picked, strict=True):
        # A beam that never overflows has seen every sentence there is.
        exhaustive = math.prod(len(set(bag)) for bag in bags) <= beam_width
        yield ExactPick(sentences, exhaustive, sentences[0].score if exhaustive else math.inf, 0)


def _known_only(bag_sets: Sequence[BagSet], bundle: Bundle) -> list[BagSet]:
    vocabulary = bundle.vocabulary
    kept = []
    for bag_set in bag_sets:
        bags = tuple(
            tuple(word for word in bag if vocabulary.fold(word) in vocabulary.id_of)
            for bag in bag_set.bags
        )
        dropped = sum(map(len, bag_set.bags)) - sum(map(len, bags))
        if dropped:
            say(f"bag set {bag_set.bag_set_id}: {dropped} unknown words are left out")
        if all(bags):
            kept.append(BagSet(bag_set.bag_set_id, bag_set.line, bags))
        else:
            say(f"bag set {bag_set.bag_set_id} is left out: a bag has no known word")
    return kept
