"""Books that a command's user names, read as `read` would."""

from collections.abc import Iterator, Sequence

from data.books import Refusal
from data.reading import ReadBook, Reading, read_entry
from data.sources import Entry, Finding, find_entries, in_order
from tasks.seams.report import progress


def read_sources(
    sources: Sequence[str], finding: Finding, reading: Reading
) -> Iterator[ReadBook | Refusal]:
    """Yield the books of all sources, and refusals of what is none.

    Raises:
        UserMistake: a catalogue that is none, or plays that are not installed.
    """
    found = list(find_entries(in_order(sources), finding))
    sizes = [item.num_bytes if isinstance(item, Entry) else 0 for item in found]
    with progress("look at books", sum(sizes), "bytes") as advance:
        for item, size in zip(found, sizes, strict=True):
            if isinstance(item, Refusal):
                yield item
            else:
                yield from read_entry(item, finding, reading)
            advance(size, item.source)
