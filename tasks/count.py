"""Count: sentences, sections -> vocabulary.

in    the sentences of the training sections; the vocabulary of a model to go on from
does  counts token types
out   the vocabulary: four special tokens, then words or characters by falling frequency; those of
      the model to go on from come first, with the ids that they have there
"""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from data.errors import UserMistake
from data.schemas import SECTIONS, SENTENCES, VOCABULARY, WARM_START_MODEL_FILE
from models.batching import SPECIAL_TOKENS
from models.bundle import Bundle
from models.vocabulary import Unit, Vocabulary, build_vocabulary
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepRun, step

LEAST_LOWER_CASE_SHARE = 0.2


class CountSettings(Settings):
    """What becomes a token type. The defaults are for words and for characters alike, so that the
    bits per character of the two can be held side by side.
    """

    lower_case: bool = True
    """Fold tokens to lower case."""
    minimum_count: int = 2
    """Rarer tokens are `_unknown_`."""
    maximum_types: int | None = None
    """Keep only so many types, the most frequent."""


@step(reads=(SECTIONS, SENTENCES), reads_files=(WARM_START_MODEL_FILE,), writes=(VOCABULARY,))
def count(run: StepRun, settings: CountSettings) -> None:
    """Count the training text's tokens and write the vocabulary."""
    sections = run.read(SECTIONS, ["book_id", "section_index", "split"])
    training = sections.filter(pc.equal(sections["split"], "train")).drop_columns("split")
    counts: Counter[str] = Counter()
    books_with: Counter[str] = Counter()
    spellings: Counter[str] = Counter()
    num_sentences = 0
    last_book, seen_in_book = None, set[str]()
    unit: Unit = "word"
    for rows in run.row_groups(SENTENCES, ["book_id", "section_index", "unit", "tokens"]):
        unit = rows["unit"][0].as_py() if rows.num_rows else unit
        for book_id, tokens in training_tokens(rows, training):
            if book_id != last_book:
                books_with.update(seen_in_book)
                last_book, seen_in_book = book_id, set()
            folded = [token.lower() for token in tokens] if settings.lower_case else tokens
            counts.update(folded)
            spellings.update(tokens[1:])  # every sentence opens with a capital
            seen_in_book.update(folded)
            num_sentences += 1
    books_with.update(seen_in_book)
    num_runs = len(pc.unique(training["book_id"]))
    inherited = _inherited(run, settings, unit)
    try:
        vocabulary = build_vocabulary(
            counts,
            num_sentences=num_sentences,
            num_runs=num_runs,
            minimum_count=settings.minimum_count,
            maximum_types=settings.maximum_types,
            lower_case=settings.lower_case,
            unit=unit,
            inherited=inherited.tokens[len(SPECIAL_TOKENS) :] if inherited else (),
            written_of={
                **(inherited.written_of if inherited else {}),
                **(written_forms(spellings) if settings.lower_case and unit == "word" else {}),
            },
        )
    except ValueError as error:
        raise UserMistake(
            f"The books make no vocabulary: {error}.", "Add text, or lower minimum_count."
        ) from error
    run.write(VOCABULARY, _columns(vocabulary, books_with, num_runs))


def training_tokens(rows: pa.Table, training: pa.Table) -> list[tuple[str, list[str]]]:
    """(book_id, tokens) of those sentences that stand in training sections, in order."""
    keys = set(zip(*(training[name].to_pylist() for name in training.column_names), strict=True))
    columns = (rows[name].to_pylist() for name in ("book_id", "section_index", "tokens"))
    return [
        (book, tokens)
        for book, index, tokens in zip(*columns, strict=True)
        if (book, index) in keys
    ]


def written_forms(spellings: Mapping[str, int]) -> dict[str, str]:
    """How a text mostly writes each token inside its sentences, by the token in lower case.

    Capitals open lines of verse, too: the form in lower case is taken unless it is rare.
    """
    forms: dict[str, list[tuple[int, str]]] = {}
    for spelling, count in spellings.items():
        forms.setdefault(spelling.lower(), []).append((count, spelling))
    written = {}
    for token, own in forms.items():
        in_lower_case = sum(count for count, spelling in own if spelling == token)
        if in_lower_case < LEAST_LOWER_CASE_SHARE * sum(count for count, _ in own):
            written[token] = max(own, key=lambda form: (form[0], form[1]))[1]
    return written


def _inherited(run: StepRun, settings: CountSettings, unit: Unit) -> Vocabulary | None:
    """The vocabulary of the model to go on from."""
    if not run.has_file(WARM_START_MODEL_FILE):
        return None
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


def _columns(vocabulary: Vocabulary, books_with: Counter[str], num_runs: int) -> dict[str, object]:
    special = len(SPECIAL_TOKENS)
    num_books = [0] + [num_runs] * (special - 1)
    return {
        "token_id": range(len(vocabulary)),
        "token": vocabulary.tokens,
        "written": vocabulary.written,
        "count": vocabulary.counts,
        "lower_case": [vocabulary.lower_case] * len(vocabulary),
        "unit": [vocabulary.unit] * len(vocabulary),
        "num_books": num_books + [books_with[token] for token in vocabulary.tokens[special:]],
    }
