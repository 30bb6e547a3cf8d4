"""Count: sentences, sections -> vocabulary.

in    the sentences of the training sections; the vocabulary of a model to go on from
does  counts token types
out   the vocabulary: four special tokens, then words or characters by falling frequency; those of
      the model to go on from come first, with the ids that they have there
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from data.book_schemas import SECTIONS, SENTENCES, SPELLING_COUNTS, TOKEN_COUNTS, VOCABULARY
from data.errors import UserMistake
from data.model_schemas import WARM_START_MODEL_FILE
from data.settings import Settings
from data.table import Table
from models.vocabulary import Unit, Vocabulary
from tasks.seams.memory import give_back_memory
from tasks.seams.shards import Shard, shard_task
from tasks.seams.step_cache import StepRun, step
from tasks.seams.vocabulary_table import vocabulary_columns, written_forms

Places = npt.NDArray[np.int64]
PARTS_AT_ONCE = 8  # of counts that are merged


class CountSettings(Settings):
    """What becomes a token type. The defaults are for words and for characters alike, so that the
    bits per character of the two can be held side by side.
    """

    lower_case: bool = True
    """Fold tokens to lower case."""
    minimum_count: int = Field(2, ge=1)
    """Rarer tokens are `_unknown_`."""
    maximum_types: int | None = Field(None, ge=1)
    """Keep only so many types, the most frequent."""


@step(
    reads=(SECTIONS, SENTENCES),
    reads_files=(WARM_START_MODEL_FILE,),
    writes=(VOCABULARY,),
    in_parts=True,
)
def count(run: StepRun, settings: CountSettings) -> None:
    """Count the training text's tokens and write the vocabulary."""
    sentences, sections = run.parts(SENTENCES), run.parts(SECTIONS)
    _check_held_out(run, sections)
    pairs = zip(sentences, sections, strict=True)
    run.over_shards(
        count_shard,
        [{SENTENCES.name: one, SECTIONS.name: other} for one, other in pairs],
        writes=(TOKEN_COUNTS, SPELLING_COUNTS),
        sizes=[run.store.lineage(name)["num_rows"] for name in sentences],
        unit="sentences",
        lower_case=settings.lower_case,
    )
    unit = _unit(run)
    inherited = _inherited(run, settings, unit)
    types = _merged(run, TOKEN_COUNTS)
    ends = types.filter(pc.is_null(types["token"]))
    [num_sentences], [num_runs] = (ends[name].to_pylist() for name in ("count", "num_books"))
    types = types.filter(pc.is_valid(types["token"]))
    written = None
    if settings.lower_case and unit == "word":
        merged = _merged(run, SPELLING_COUNTS)
        written = written_forms(merged.filter(pc.not_equal(merged["count"], 0)), types["token"])
    try:
        columns = vocabulary_columns(
            types,
            num_sentences=num_sentences,
            num_runs=num_runs,
            minimum_count=settings.minimum_count,
            maximum_types=settings.maximum_types,
            lower_case=settings.lower_case,
            unit=unit,
            inherited=inherited,
            written=written,
        )
    except ValueError as error:
        raise UserMistake(
            f"The books make no vocabulary: {error}.", "Add text, or lower minimum_count."
        ) from error
    run.write(VOCABULARY, columns)
    run.drop_parts(TOKEN_COUNTS, SPELLING_COUNTS)


def _check_held_out(run: StepRun, sections: Sequence[str]) -> None:
    """A language model is the first to need text that nothing was learned from."""
    splits = [run.store.read_table(name, ["split"])["split"].to_pylist() for name in sections]
    if not {"validation", "test"} <= {split for own in splits for split in own}:
        raise UserMistake(
            "The books are too short to hold text out for testing: sections: "
            f"{sum(map(len, splits))}, needed: 3 in one book.",
            "Add more text to them, or more books. Their map can do without: bookloom cluster.",
        )


@shard_task
def count_shard(shard: Shard, lower_case: bool) -> None:
    """Count the tokens of a shard's training sections, and how they are written."""
    training = training_sections(shard.read(SECTIONS, ["book_id", "section_index", "split"]))
    spellings, types = _Numbers(), _Numbers()
    spelling_counts, type_counts = _Counts(), _Counts()
    types_of: dict[str, Places] = {}
    num_sentences = 0
    for rows in shard.row_groups(SENTENCES, ["book_id", "section_index", "tokens"], ["tokens"]):
        kept = training_rows(rows, training)
        tokens = kept["tokens"].combine_chunks()
        words = tokens.flatten()
        codes = np.asarray(words.indices)
        present = _distinct(codes)  # some stand only in rows that are not kept
        written = words.dictionary.take(pa.array(present)).to_pylist()
        place_of = np.zeros(len(words.dictionary), dtype=np.int64)
        place_of[present] = np.arange(len(present))
        indices = place_of[codes]
        ends = np.cumsum(tokens.value_lengths())
        of_spelling = spellings.of(written)[indices]
        of_type = types.of(map(str.lower, written) if lower_case else written)[indices]
        num_sentences += len(tokens)
        type_counts.add(of_type)
        spelling_counts.add(of_spelling)
        starts = np.concatenate([[0], ends])
        spelling_counts.add(of_spelling[starts[:-1][np.diff(starts) > 0]], -1)  # with a capital
        last = first = 0
        for book_id, same in groupby(kept["book_id"].to_pylist()):
            last += len(list(same))
            own = of_type[first : starts[last]]
            types_of[book_id] = _distinct(np.concatenate([types_of.get(book_id, own[:0]), own]))
            first = starts[last]
    num_books = _Counts()
    for own in types_of.values():
        num_books.add(own)
    with shard.writer(TOKEN_COUNTS) as writer:
        writer.write(
            {
                "token": [None, *types.names],
                "count": [num_sentences, *type_counts.values],
                "num_books": [len({book for book, _ in training}), *num_books.values],
            }
        )
    with shard.writer(SPELLING_COUNTS) as writer:
        writer.write({"token": [*spellings.names], "count": spelling_counts.values})


def _distinct(numbers: Places) -> Places:
    """Those that come, in order; a small part of the time of `np.unique`."""
    return np.flatnonzero(np.bincount(numbers))


class _Numbers:
    """Strings' numbers, in the order in which they come."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def of(self, strings: Iterable[str]) -> Places:
        """The number of each, a new one for each new one."""
        names = self.names
        return np.array([names.setdefault(one, len(names)) for one in strings], dtype=np.int64)


class _Counts:
    """How often each number came."""

    def __init__(self) -> None:
        self.values: Places = np.zeros(0, dtype=np.int64)

    def add(self, numbers: Places, times: int = 1) -> None:
        """Count each of the numbers so many times."""
        counts = times * np.bincount(numbers, minlength=len(self.values))
        counts[: len(self.values)] += self.values
        self.values = counts


def training_sections(sections: pa.Table) -> set[tuple[str, int]]:
    """(book_id, section_index) of the sections to learn from."""
    training = sections.filter(pc.equal(sections["split"], "train"))
    columns = (training[name].to_pylist() for name in ("book_id", "section_index"))
    return set(zip(*columns, strict=True))


def training_rows(rows: pa.Table, training: set[tuple[str, int]]) -> pa.Table:
    """Those of the rows, sentences, that stand in sections to learn from."""
    keys = zip(rows["book_id"].to_pylist(), rows["section_index"].to_pylist(), strict=True)
    return rows.filter(pa.array([key in training for key in keys], pa.bool_()))


def _merged(run: StepRun, table: Table) -> pa.Table:
    """The parts' counts summed, some parts at a time: memory holds each type once."""
    sums = [column.name for column in table.columns if column.name != "token"]
    names = run.made_parts(table)
    merged = table.schema.empty_table()
    for first in range(0, len(names), PARTS_AT_ONCE):
        some = [run.store.read_table(name) for name in names[first : first + PARTS_AT_ONCE]]
        grouped = pa.concat_tables([merged, *some]).group_by("token", use_threads=False)
        summed = grouped.aggregate([(name, "sum") for name in sums])
        merged = pa.table({"token": summed["token"], **{n: summed[f"{n}_sum"] for n in sums}})
        merged = merged.cast(table.schema)
    give_back_memory()
    return merged


def _unit(run: StepRun) -> Unit:
    for rows in run.row_groups(SENTENCES, ["unit"]):
        if rows.num_rows:
            unit: Unit = rows["unit"][0].as_py()
            return unit
    return "word"


def _inherited(run: StepRun, settings: CountSettings, unit: Unit) -> Vocabulary | None:
    """The vocabulary of the model to go on from."""
    if not run.has_file(WARM_START_MODEL_FILE):
        return None
    from models.bundle import Bundle  # with PyTorch, which those who count can do without

    inherited = Bundle.from_bytes(run.read_file(WARM_START_MODEL_FILE)).vocabulary
    for name, own, its in (
        ("tokenise.unit", unit, inherited.unit),
        ("count.lower_case", settings.lower_case, inherited.lower_case),
    ):
        if own != its:
            raise UserMistake(
                f"{name} is {own}, but that of the model to go on from is {its}.",
                f"Set {name} to {its}, or start afresh.",
            )
    return inherited
