"""Write the packaged plays as files that benchmarks/language_model.py and peers.py take.

    python benchmarks/play_files.py FOLDER

writes `train.txt`, `valid.txt` and `test.txt`: white-space separated tokens, lower-cased, one
sentence a line, words that stand once in the training plays as `<unk>`; and `train_raw.txt`,
`valid_raw.txt` and `test_raw.txt`: what is spoken, line by line, for --characters. The 6th and the
12th of every 12 plays, by path, are for validation and for test.
"""

import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.books import Book
from data.plays import read_plays
from data.splits import assign_splits
from tasks.seams.tokeniser import SentenceSplitter, cut, learn_punkt

UNKNOWN = "<unk>"


def main() -> None:
    """Read, cut, write."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    by_split: dict[str, list[Book]] = {"train": [], "validation": [], "test": []}
    books = list(read_plays())
    splits = assign_splits([(book.book_id, book.sha256) for book in books], plays=True, seed=0)
    for book in books:
        by_split[splits[book.book_id]].append(book)

    training_text = "\n\n".join(_spoken(book) for book in by_split["train"])
    splitter = SentenceSplitter(learn_punkt(training_text))
    sentences = {
        split: [
            words for book in tqdm(own, split, disable=None) for words in _sentences(book, splitter)
        ]
        for split, own in by_split.items()
    }
    counts = Counter(word for words in sentences["train"] for word in words)
    for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        lines = [
            " ".join(word if counts[word] > 1 else UNKNOWN for word in words)
            for words in sentences[split]
        ]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        raw = "\n".join(_spoken(book) for book in by_split[split])
        (folder / f"{name}_raw.txt").write_text(raw + "\n", encoding="utf-8")
        num_tokens = sum(map(len, sentences[split])) + len(lines)
        print(f"{name:<6} {num_tokens:>9,} tokens, {len(raw):>10,} characters")


def _spoken(book: Book) -> str:
    return "\n".join(book.text[part.char_start : part.char_end] for part in book.sections)


def _sentences(book: Book, splitter: SentenceSplitter) -> list[list[str]]:
    spans = splitter.spans(book.text)
    sentences = cut(book.text, spans, "word").tokens.to_pylist()
    return [[token.lower() for token in tokens] for tokens in sentences]


if __name__ == "__main__":
    main()
