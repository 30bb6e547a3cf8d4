"""What short commands answer, as text for a person."""

from collections.abc import Mapping
from typing import Any

from data.books import escaped


def books_text(result: Mapping[str, Any]) -> str:
    """Each book with what would be removed from it, and each refusal."""
    lines = []
    for book in result["books"]:
        about = [book["author"] or "unknown author", book["language"] or "language unknown"]
        about += [str(book["year"])] if book["year"] else []
        lines += [
            f"{book['title']}  ({', '.join(about)})",
            f"    {book['source']}",
            f"    {book['num_characters']:,} characters, {book['encoding']} "
            f"({book['encoding_reason']})",
            f"    {_sections(book['sections'])}",
        ]
        receipt = book["receipt"]
        removed = [
            f"{receipt[f'{part}_characters']:,} {where}"
            for part, where in (("head", "before"), ("tail", "after"), ("inside", "inside"))
            if receipt[f"{part}_characters"]
        ]
        if removed:
            lines.append(f"    removed: {', '.join(removed)} ({receipt['share_removed']:.1%})")
        elif receipt["kept_whole"]:
            lines.append(f"    kept whole: {receipt['reason']}")
        if receipt["page_characters"]:
            lines.append(f"    of the printed page: {receipt['page_characters']:,}")
        if receipt["notes_characters"]:
            lines.append(f"    left out, notes and pages apart: {receipt['notes_characters']:,}")
        if book["repeats"]:
            lines.append(f"    repeats {book['repeats']}: a book is taken once")
    refusals = result["refusals"]
    lines += [f"refused  {row['source']}: {row['reason']} {row['remedy']}" for row in refusals]
    num_books = len(result["books"])
    repeated = sum(book["repeats"] is not None for book in result["books"])
    lines.append(
        f"{_counted(num_books - repeated, 'book')}, {repeated:,} repeated, "
        f"{len(refusals):,} refused"
    )
    return "\n".join(lines)


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _sections(headings: list[str]) -> str:
    ends = " … ".join(dict.fromkeys([escaped(headings[0]), escaped(headings[-1])]))
    return f"{_counted(len(headings), 'section')}: {ends}"


def trace_text(result: Mapping[str, Any]) -> str:
    """Each step of a trace, and where its files are."""
    lines = [f"model {result['model']}", "      nats  entropy  change  token         expected"]
    for step in result["steps"]:
        nats, entropy = step["log_probability_nats"], step["entropy_nats"]
        predicted = "" if nats is None else f"{nats:10.3f}  {entropy:7.3f}"
        lines.append(
            f"{predicted:19}  {step['state_change']:6.2f}  {step['token']:<12}"
            f"  {' '.join(step['predicted_tokens'] or ())}".rstrip()
        )
    lines.append(f"{result['total_nats']:10.3f}  total nats")
    return "\n".join([*lines, *_file_lines(result["files"])])


def written_text(result: Mapping[str, Any]) -> str:
    """The text written, and what of it was copied."""
    copy = result["longest_copy"]
    if copy is None:
        copied = "longest verbatim copy: unknown, the store has no tables of the training text"
    elif not copy["words"]:
        copied = "longest verbatim copy: none"
    else:
        copied = (
            f"longest verbatim copy: {copy['num_words']} {copy['unit']}s of "
            f"{copy['book_id']}, {copy['heading']}\n  {copy['text']}"
        )
    return f"model {result['model']}\n\n{result['text']}\n\n{copied}"


def export_text(result: Mapping[str, Any]) -> str:
    """What was exported, and what goes in and out."""
    return "\n".join(
        [
            f"model {result['model']}",
            f"{result['file']}  {result['num_bytes']:,} bytes, {result['num_types']:,} types",
            f"in   {', '.join(result['inputs'])}",
            f"out  {', '.join(result['outputs'])}",
        ]
    )


def sentences_text(result: Mapping[str, Any]) -> str:
    """The sentences of each bag set, the sets refused, and the files written."""
    lines = [f"model {result['model']}"]
    for bag_set in result.get("bag_sets", ()):
        for sentence in bag_set["sentences"]:
            lines.append(
                f"{bag_set['bag_set_id']:>6} {sentence['rank']:>3}  {sentence['sentence']:<60}"
                f"  log p {sentence['log_probability_nats']:9.3f}  score {sentence['score']:9.3f}"
                f"{_proof(sentence)}"
            )
    refusals = result["refusals"]
    lines += [f"refused  {row['reason']} {row['remedy']}" for row in refusals]
    if "bag_sets" not in result:
        lines += [f"{result['num_bag_sets']:,} bag sets, {len(refusals):,} of them refused"]
    return "\n".join([*lines, *_file_lines(result["files"])])


def _proof(sentence: Mapping[str, Any]) -> str:
    if sentence["num_drawn"] is not None:
        return f"  drawn {sentence['num_drawn']:,} times"
    if sentence["proven_best"]:
        return "  proven best"
    if sentence["rank"] > 1 or sentence["score_bound"] is None:
        return ""
    return f"  at most {sentence['score_bound'] - sentence['score']:.3f} from the best"


def _file_lines(files: Mapping[str, str]) -> list[str]:
    return [f"{name:<13} {path}" for name, path in files.items()]
