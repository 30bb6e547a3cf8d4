"""What a run's report says: tables in, Markdown out. Text from books is escaped throughout."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from data.stop_words import stop_words_of
from models.special_tokens import SPECIAL_TOKENS, UNKNOWN
from models.vocabulary import Unit
from tasks.seams.quantities import size
from tasks.seams.report import escaped, linked, markdown_table, visible
from tasks.seams.step_cache import StepOutcome
from tasks.seams.tokeniser import as_written
from tasks.seams.tracking import Page

NUM_FREQUENT_TOKENS = 10
NUM_SHOWN_WORDS = 12
NUM_NEIGHBOURS = 6
MOST_SHOWN_BOOKS = 200
MOST_SHOWN_REASONS = 6
SEARCHED_NEIGHBOURS = 4000  # the vectors of rare words are hardly trained


def opening(title: str, page: Page | None) -> str:
    """The head of a report: what the run is called, and where MLflow shows it."""
    heading = f"# {escaped(title)}"
    return f"{heading}\n\nIn MLflow: {linked(page.address, page.command)}" if page else heading


def headline(
    metrics: Mapping[str, float | None], num_books: int, model_uri: str | None, address: str | None
) -> str:
    """What a run has reached, in a few lines, for who looks at many runs side by side."""
    figures = [
        ("test_perplexity", ".1f", "perplexity **{}** on test text"),
        ("mixture_test_perplexity", ".1f", "{} mixed with the n-gram model"),
        ("test_bits_per_character", ".3f", "{} bits per character"),
        ("bag_words_recovered", ".1%", "{} of hidden words found"),
        ("num_clusters", ".0f", "{} clusters of texts"),
        ("cluster_nmi", ".3f", "NMI {} with their labels"),
    ]
    told = [
        words.format(f"{value:{form}}")
        for name, form, words in figures
        if (value := metrics.get(name)) is not None
    ]
    text = f"{', '.join([f'{num_books:,} books', *told])}."
    links = [f"Model {model_uri}."] if model_uri else []
    links += [f"[This run in Prefect]({address})"] if address else []
    return " ".join([text, *links])


def books_report(
    books: pa.Table, sections: pa.Table, receipts: pa.Table, refusals: pa.Table
) -> str:
    """Books read, what was found in them and taken from them, and what was refused."""
    headings: dict[str, list[str]] = {}
    for book_id, heading in zip(
        *(sections[n].to_pylist() for n in ("book_id", "heading")), strict=True
    ):
        headings.setdefault(book_id, []).append(heading)
    receipt_of = {row["book_id"]: row for row in receipts.to_pylist()}
    rows = [
        [
            book["title"],
            book["author"] or "",
            book["genre"] or "",
            book["language"] or "",
            book["split"],
            book["num_characters"],
            _removed(receipt_of[book["book_id"]]),
            _sections_found(headings[book["book_id"]]),
        ]
        for book in books.slice(0, MOST_SHOWN_BOOKS).to_pylist()
    ]
    text = f"## Books\n\n{books.num_rows:,} read, {refusals.num_rows:,} refused.\n\n"
    if refusals.num_rows:
        refused = refusals.slice(0, MOST_SHOWN_BOOKS).to_pylist()
        text += "\n".join(
            f"- **{escaped(r['source'])}** {escaped(r['reason'])} *{escaped(r['remedy'])}*"
            for r in refused
        )
        text += _and_more(refusals, "refusals") + "\n\n"
    names = ["title", "author", "genre", "language", "split", "characters", "removed", "sections"]
    return text + markdown_table(names, rows, only_filled=True) + _and_more(books, "books")


def _sections_found(headings: Sequence[str]) -> str:
    if len(headings) == 1:
        return headings[0]
    return f"{len(headings)}: {headings[0]} … {headings[-1]}"


def _removed(receipt: Mapping[str, Any]) -> str:
    removed = [f"{receipt['share_removed']:.1%}"] if receipt["share_removed"] else []
    if receipt["kept_whole"]:
        removed = [f"kept whole: {receipt['reason']}"]
    if receipt["page_characters"]:
        removed.append(f"{receipt['page_characters']:,} characters of its pages")
    if receipt["notes_characters"]:
        removed.append(f"{receipt['notes_characters']:,} characters of notes and pages apart")
    return ", ".join(removed)


def _and_more(rows: pa.Table, name: str) -> str:
    more = rows.num_rows - MOST_SHOWN_BOOKS
    return f"\n\nand {more:,} more in the table {name}" if more > 0 else ""


def vocabulary_report(
    vocabulary: pa.Table, embeddings: pa.Table, languages: Iterable[str | None]
) -> str:
    """The vocabulary's size, its most frequent tokens and some tokens' nearest neighbours."""
    tokens = [visible(token) for token in vocabulary["token"].to_pylist()]
    unit = vocabulary["unit"][0].as_py()
    stop_words = frozenset[str]().union(*map(stop_words_of, languages))
    counts = vocabulary["count"].to_pylist()
    first = len(SPECIAL_TOKENS)  # the tokens of books stand by their frequency
    shown = slice(first, first + NUM_FREQUENT_TOKENS)
    frequent = [list(row) for row in zip(tokens[shown], counts[shown], strict=True)]
    neighbours = [
        [token, ", ".join(near)]
        for token, near in nearest_neighbours(tokens, embeddings, unit, stop_words).items()
    ]
    return "\n\n".join(
        [
            f"## Vocabulary\n\n{len(tokens):,} token types; {counts[UNKNOWN]:,} of "
            f"{sum(counts[UNKNOWN:]):,} training tokens are `_unknown_`.",
            markdown_table(["most frequent", "count"], frequent),
            f"Nearest neighbours of frequent {unit}s, by the cosine of their learned vectors:",
            markdown_table([unit, "nearest"], neighbours),
        ]
    )


def nearest_neighbours(
    tokens: Sequence[str], embeddings: pa.Table, unit: Unit, stop_words: frozenset[str]
) -> dict[str, list[str]]:
    """Words or letters with those tokens whose vectors have the largest cosine with theirs."""
    width = len(embeddings["vector"][0])
    flat = embeddings["vector"].combine_chunks().flatten().to_numpy()
    vectors_VE = flat.reshape(-1, width)[:SEARCHED_NEIGHBOURS]
    unit_VE = vectors_VE / np.maximum(np.linalg.norm(vectors_VE, axis=1, keepdims=True), 1e-12)
    words = [
        index
        for index, token in enumerate(tokens[:SEARCHED_NEIGHBOURS])
        if token.isalpha()
        and (unit == "character" or (len(token) > 2 and token.lower() not in stop_words))
    ]
    found = {}
    for index in words[:NUM_SHOWN_WORDS]:
        cosines_V = unit_VE @ unit_VE[index]
        cosines_V[: len(SPECIAL_TOKENS)] = -2.0  # they are no words
        nearest = np.argsort(-cosines_V, kind="stable")
        found[tokens[index]] = [tokens[i] for i in nearest if i != index][:NUM_NEIGHBOURS]
    return found


def training_report(
    perplexities: pa.Table,
    evaluations: pa.Table,
    metrics: Mapping[str, float | None],
    titles: Mapping[str, str],
    unit: Unit,
) -> str:
    """Perplexity of each held-out book, beside vocabulary size and share of unknown words."""
    rows = [
        [
            titles.get(row["book_id"], row["book_id"]),
            row["split"],
            math.exp(row["nats"] / row["num_tokens"]),
            row["num_tokens"],
            row["num_unknown"] / row["num_tokens"],
        ]
        for row in perplexities.to_pylist()
        if row["num_tokens"]
    ]
    ways = [
        [
            row["method"],
            row["split"],
            math.exp(row["nats"] / row["num_tokens"]),
            row["num_tokens"],
            _plainly(json.loads(row["tuned"])),
        ]
        for row in evaluations.to_pylist()
    ]
    return "\n\n".join(
        [
            "## Language model",
            f"Perplexity {_shown(metrics['validation_perplexity'])} a {unit} on validation and "
            f"{_shown(metrics['test_perplexity'])} on test text, with a vocabulary of "
            f"{_shown(metrics['vocabulary_size'])} types and {_share(metrics['unknown_share'])} "
            "of the test tokens `_unknown_`; one lane a book, every token in order. That is "
            f"{_shown(metrics['test_bits_per_character'], 3)} bits per character of the test text.",
            markdown_table(["held-out book", "split", "perplexity", "tokens", "unknown"], rows),
            "Ways of predicting the held-out books. `lstm` is the static model; `lstm after N "
            "tokens` has read just so many before each prediction: what carried state is worth. "
            "What is tuned is tuned on validation books.",
            *_warm_start_gain(metrics),
            markdown_table(["method", "split", "perplexity", "tokens", "tuned"], ways),
        ]
    )


def _warm_start_gain(metrics: Mapping[str, float | None]) -> list[str]:
    afresh, warm = metrics["afresh_test_perplexity"], metrics["test_perplexity"]
    if afresh is None or warm is None:
        return []
    return [
        f"The warm start brings the perplexity on test text from {_shown(afresh)} (`lstm afresh`: "
        f"the same settings and vocabulary, from nothing) to {_shown(warm)}, "
        f"{_share(1.0 - warm / afresh)} less."
    ]


def sentences_report(
    sentences: pa.Table, recovery: pa.Table, examples: pa.Table, openings: pa.Table, unit: Unit
) -> str:
    """Sentences from bags, and how often a hidden sentence comes back."""
    shown = [
        [row["bag_set_id"], row["rank"], row["sentence"], row["log_probability_nats"], row["score"]]
        for row in sentences.to_pylist()
    ]
    tried = [
        [
            row["strategy"],
            row["beam_width"],
            row["frequency_discount"],
            row["num_words_right"] / row["num_words"],
            row["num_sentences_right"] / row["num_sentences"],
        ]
        for row in recovery.to_pylist()
    ]
    opened = [
        [
            row["opening"],
            row["num_words_right"],
            row["num_words"],
            "chosen" if row["chosen"] else "",
        ]
        for row in openings.to_pylist()
    ]
    parts = [
        "## Sentences from bags",
        markdown_table(["bag set", "rank", "sentence", "log p (nats)", "score"], shown),
        f"Held-out sentences of 5 to 12 {unit}s, each {unit} hidden among others drawn by "
        "frequency: the share that comes back.",
        markdown_table(["strategy", "beam", "discount", f"{unit}s", "sentences"], tried),
        "The token that opens a sentence, tried on validation sentences:",
        markdown_table(["opening", f"{unit}s recovered", "of", ""], opened),
        "Some of them, with their bags:",
    ]
    for row in examples.to_pylist()[:5]:
        bags = " \\| ".join(escaped(" ".join(map(visible, bag))) for bag in row["bags"])
        parts.append(
            f"- true: *{escaped(as_written(row['true_tokens'], unit))}*\n"
            f"  - picked: *{escaped(as_written(row['picked_tokens'], unit))}*\n"
            f"  - bags: {bags}"
        )
    return "\n\n".join(parts)


def steps_report(
    outcomes: Sequence[StepOutcome],
    num_bytes: Mapping[str, int],
    publishing_seconds: float,
    peak_bytes: int,
) -> str:
    """What ran, what was reused, what it cost, and why.

    Args:
        outcomes: of the steps, in their order.
        num_bytes: what each has written, or had written when it was reused.
        publishing_seconds: what putting the run on record has taken so far.
        peak_bytes: the most that the run's process has held at once.
    """
    rows: list[list[Any]] = [
        [
            outcome.step,
            "reused" if outcome.reused else "ran",
            None if outcome.reused else f"{outcome.seconds:,.1f}",
            size(num_bytes[outcome.step]),
        ]
        for outcome in outcomes
    ]
    rows.append(["publish", "ran", f"{publishing_seconds:,.1f}", None])
    seconds = sum(outcome.seconds for outcome in outcomes) + publishing_seconds
    written = sum(num_bytes[outcome.step] for outcome in outcomes if not outcome.reused)
    return "\n\n".join(
        [
            "## Steps",
            f"{seconds:,.0f} s of work, {size(written)} written. The run's process held at most "
            f"{size(peak_bytes)} of memory; processes that worked on shards are not in that.",
            markdown_table(["step", "", "seconds", "size of results"], rows),
            *_why(outcomes),
        ]
    )


def _why(outcomes: Sequence[StepOutcome]) -> list[str]:
    """Why steps ran; those that ran for the same reasons together."""
    steps_of: dict[str, list[str]] = {}
    for outcome in outcomes:
        if not outcome.reused:
            rest = len(outcome.reasons) - MOST_SHOWN_REASONS
            more = [f"and {rest} more"] if rest > 0 else []
            reasons = "; ".join([*outcome.reasons[:MOST_SHOWN_REASONS], *more])
            steps_of.setdefault(reasons, []).append(outcome.step)
    told = [f"- {', '.join(own)}: {escaped(reasons)}" for reasons, own in steps_of.items()]
    return ["Why they ran:", "\n".join(told)] if told else ["Nothing had changed."]


def _plainly(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


def _shown(value: float | None, decimals: int = 1) -> str:
    return "unknown" if value is None else f"{value:,.{decimals}f}".removesuffix(".0")


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.1%}"
