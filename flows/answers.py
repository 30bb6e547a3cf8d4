"""What short commands answer, as text for a person."""

from collections.abc import Mapping
from typing import Any


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
    return "\n".join([*lines, *(f"{name:<8} {path}" for name, path in result["files"].items())])


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
