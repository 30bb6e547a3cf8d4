"""Sentences and words, NLTK's own and ours: MB/s on the same text in the same run, on one core.

    python benchmarks/tokenise.py --json
    python benchmarks/tokenise.py shelf/*.txt

The packaged plays by default. `identical` says whether every word stands where NLTK has it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.plays import read_plays
from tasks.seams.sentence_spans import paragraphs_of
from tasks.seams.tokeniser import (
    SentenceSplitter,
    cut,
    learn_punkt,
    nltk_word_spans,
)

PUNKT_CHARACTERS = 1_000_000


def timed(work: Callable[[], Any], num_bytes: int) -> tuple[Any, float]:
    """What it gives, and MB/s."""
    started = time.process_time()
    result = work()
    return result, num_bytes / 1e6 / (time.process_time() - started)


def main() -> None:
    """Measure, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="texts in UTF-8; the packaged plays by default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    texts = [Path(name).read_text(encoding="utf-8") for name in options.files]
    texts = texts or [book.text for book in read_plays()]
    num_bytes = sum(len(text.encode()) for text in texts)
    learned = learn_punkt("\n\n".join(texts)[:PUNKT_CHARACTERS])
    splitter = SentenceSplitter(learned)
    punkt = PunktSentenceTokenizer(learned.parameters())
    theirs, by_punkt = timed(lambda: [_by_punkt(text, punkt) for text in texts], num_bytes)
    spans, sentences_by_us = timed(lambda: [splitter.spans(text) for text in texts], num_bytes)
    every = [text[a:b] for text, own in zip(texts, spans, strict=True) for a, b in own]
    nltk = NLTKWordTokenizer()
    expected, by_nltk = timed(
        lambda: [nltk_word_spans(nltk, sentence) for sentence in every], num_bytes
    )
    found, by_us = timed(
        lambda: [cut(text, own, "word") for text, own in zip(texts, spans, strict=True)], num_bytes
    )
    identical = all(
        words == [sentence[a:b] for a, b in own]
        and [a - first for a in starts] == [a for a, _ in own]
        for sentence, own, words, starts, first in zip(
            every,
            expected,
            [words for one in found for words in one.tokens.to_pylist()],
            [starts for one in found for starts in one.starts.to_pylist()],
            [start for own in spans for start, _ in own],
            strict=True,
        )
    )
    result = {
        "megabytes": num_bytes / 1e6,
        "num_sentences": len(every),
        "punkt_sentences_megabytes_per_second": by_punkt,
        "sentences_megabytes_per_second": sentences_by_us,
        "times_punkt": sentences_by_us / by_punkt,
        "nltk_words_megabytes_per_second": by_nltk,
        "words_megabytes_per_second": by_us,
        "times_nltk": by_us / by_nltk,
        "both_megabytes_per_second": 1.0 / (1.0 / sentences_by_us + 1.0 / by_us),
        "times_nltk_both": (1.0 / by_punkt + 1.0 / by_nltk) / (1.0 / sentences_by_us + 1.0 / by_us),
        "identical": identical and spans == theirs,
    }
    print(
        json.dumps(result)
        if options.json
        else "\n".join(f"{name:<32} {value}" for name, value in result.items())
    )


def _by_punkt(text: str, punkt: PunktSentenceTokenizer) -> list[tuple[int, int]]:
    return [
        (start + first, start + last)
        for start, end in paragraphs_of(text, 0, len(text))
        if not text[start:end].isspace()
        for first, last in punkt.span_tokenize(text[start:end])
    ]


if __name__ == "__main__":
    main()
