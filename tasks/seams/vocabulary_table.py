"""The vocabulary's table, made of counts without a Python string for each type.

A library of 4 GB has half a million types: in Python's strings and numbers they take 200 MB, as
Arrow's columns 15.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.special_tokens import SPECIAL_TOKENS
from models.vocabulary import UNKNOWN_SPELLINGS, Unit, Vocabulary

LEAST_LOWER_CASE_SHARE = 0.2
SPELLINGS_AT_ONCE = 10_000


def vocabulary_columns(
    types: pa.Table,
    *,
    num_sentences: int,
    num_runs: int,
    minimum_count: int,
    maximum_types: int | None,
    lower_case: bool,
    unit: Unit = "word",
    inherited: Vocabulary | None = None,
    written: pa.Table | None = None,
) -> dict[str, Any]:
    """The columns of the table `vocabulary`.

    Args:
        types: each folded token of the training text once: `token`, `count`, `num_books`.
        num_sentences: how many `_end_` there are.
        num_runs: how many `_start_` there are.
        minimum_count: rarer tokens have no id.
        maximum_types: only so many words have one, the most frequent; ties go by spelling.
        lower_case: whether they were folded.
        unit: what a token is.
        inherited: its words keep the ids they have, however often they stand in this text; the
            new ones come after them.
        written: how books mostly write a `token`, where that is another spelling: `written`.

    Raises:
        ValueError: no word is left.
    """
    old = pa.array(inherited.tokens[len(SPECIAL_TOKENS) :] if inherited else [], pa.string())
    kept = pa.concat_arrays([old, pa.array(sorted(UNKNOWN_SPELLINGS), pa.string())])
    new = types.filter(
        pc.and_(
            pc.greater_equal(types["count"], minimum_count),
            pc.invert(pc.is_in(types["token"], kept)),
        )
    )
    new = new.sort_by([("count", "descending"), ("token", "ascending")])
    if maximum_types is not None:
        new = new.slice(0, max(0, maximum_types - len(old)))
    known = pa.concat_arrays([old, new["token"].combine_chunks()])
    place = pc.index_in(known, types["token"].combine_chunks())
    counts, num_books = (
        types[name].take(place).fill_null(0).combine_chunks() for name in ("count", "num_books")
    )
    num_known = pc.sum(counts).as_py() or 0
    if not num_known:
        raise ValueError(f"no {unit} stands {minimum_count} times or more in the training text")
    num_unknown = pc.sum(types["count"]).as_py() - num_known
    tokens = pa.concat_arrays([pa.array(SPECIAL_TOKENS, pa.string()), known])
    of_special = [0, num_runs, num_sentences, num_unknown], [0, num_runs, num_runs, num_runs]
    return {
        "token_id": pa.array(range(len(tokens)), pa.int32()),
        "token": tokens,
        "written": _written(tokens, inherited, written),
        "count": pa.concat_arrays([pa.array(of_special[0], pa.int64()), counts]),
        "lower_case": pa.repeat(lower_case, len(tokens)),
        "unit": pa.repeat(unit, len(tokens)),
        "num_books": pa.concat_arrays([pa.array(of_special[1], pa.int64()), num_books]),
    }


def _written(
    tokens: pa.StringArray, inherited: Vocabulary | None, written: pa.Table | None
) -> pa.StringArray:
    """Every token as this text writes it, or else the one before, or else as it is spelled."""
    known: Sequence[str] = inherited.written if inherited else ()
    before = pa.array([*known, *[None] * (len(tokens) - len(known))], pa.string())
    if written is None:
        return pc.coalesce(before, tokens)
    place = pc.index_in(tokens, written["token"].combine_chunks())
    now = written["written"].combine_chunks().take(place)
    return pc.coalesce(now, before, tokens)


def written_forms(spellings: pa.Table, tokens: pa.ChunkedArray) -> pa.Table:
    """How a text mostly writes tokens inside its sentences, where not in lower case: `token` and
    `written`.

    Capitals open lines of verse, too: the form in lower case is taken unless it is rare.

    Args:
        spellings: each spelling once, as `token`, with its `count`.
        tokens: in lower case; others are passed over.
    """
    lower = [
        pa.array([spelling.lower() for spelling in batch["token"].to_pylist()], pa.string())
        for batch in spellings.to_batches(max_chunksize=SPELLINGS_AT_ONCE)
    ]
    spellings = spellings.append_column("lower", pa.chunked_array(lower, pa.string()))
    is_lower = pc.equal(spellings["token"], spellings["lower"])
    others = spellings.filter(
        pc.and_not(pc.is_in(spellings["lower"], tokens.combine_chunks()), is_lower)
    )
    others = others.sort_by(
        [("lower", "ascending"), ("count", "descending"), ("token", "descending")]
    )
    groups = others.group_by("lower", use_threads=False)
    found = groups.aggregate([("token", "first"), ("count", "sum")])
    own = spellings.filter(is_lower)
    place = pc.index_in(found["lower"].combine_chunks(), own["token"].combine_chunks())
    in_lower_case = own["count"].take(place).fill_null(0)
    all_together = pc.add(in_lower_case, found["count_sum"])
    rare = pc.less(in_lower_case, pc.multiply(LEAST_LOWER_CASE_SHARE, all_together))
    return pa.table({"token": found["lower"], "written": found["token_first"]}).filter(rare)
