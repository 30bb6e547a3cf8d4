"""Sentences and words: the book's own characters, at NLTK's boundaries."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktTrainer

from data.book_schemas import PUNKT
from data.plays import read_plays
from data.store import Store
from models.vocabulary import Unit
from tasks.seams.shards import Shard
from tasks.seams.tokeniser import (
    QUOTATION_MARKS,
    PunktModel,
    SentenceSplitter,
    as_sentence,
    as_written,
    cut,
    learn_punkt,
    nltk_word_spans,
    tokens_of,
    words_of,
)
from tasks.tokenise import _punkt_columns, _splitters

SAMPLE = (
    "Mr. Smith went out. Mr. Jones stayed. It rained. Mr. Smith came back at 5 p.m. today. " * 20
)
WILD = st.text(alphabet="abcT \"'`“”‘’«»()[]<>.,;:?!@#$%&-—…*\n\té1gondyt", max_size=40)


def cut_one(sentence: str, unit: Unit) -> tuple[list[str], list[int]]:
    sentences = cut(sentence, [(0, len(sentence))], unit)
    return sentences.tokens[0].as_py(), sentences.starts[0].as_py()


def word_spans(sentence: str) -> list[tuple[int, int]]:
    words, starts = cut_one(sentence, "word")
    return [(start, start + len(word)) for word, start in zip(words, starts, strict=True)]


@given(WILD)
@example("\"'' it")
@example("''a\" \"b''")
@example("cannot gonna 'tis d'ye")
@settings(max_examples=500, deadline=None)
def test_words_are_the_sentences_own_characters_at_nltks_boundaries(sentence: str) -> None:
    spans = word_spans(sentence)
    try:
        assert spans == list(NLTKWordTokenizer().span_tokenize(sentence))
    except ValueError:  # NLTK's own look-up fails on some mixed quotation marks
        tokens = NLTKWordTokenizer().tokenize(sentence)
        for (start, end), token in zip(spans, tokens, strict=True):
            own = sentence[start:end]
            assert own == token or ({own, token} <= {'"', *QUOTATION_MARKS})
    assert "".join(sentence[a:b] for a, b in spans) == "".join(sentence.split())


@given(WILD)
@settings(max_examples=200, deadline=None)
def test_sentences_cover_the_text_in_order(text: str) -> None:
    splitter = SentenceSplitter(PunktModel((), (), (), ()))
    spans = splitter.spans(text)
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    assert edges == sorted(edges)
    assert all(start < end for start, end in spans)
    inside = {index for start, end in spans for index in range(start, end)}
    assert all(char.isspace() for index, char in enumerate(text) if index not in inside)


def test_abbreviations_are_learned_and_blank_lines_end_sentences() -> None:
    model = learn_punkt(SAMPLE)
    assert "mr" in model.abbreviations
    text = "Mr. Smith spoke. He left\n\nand never came"
    spans = SentenceSplitter(model).spans(text)
    assert [text[a:b] for a, b in spans] == ["Mr. Smith spoke.", "He left", "and never came"]


def test_what_is_learned_is_what_nltk_learns() -> None:
    play = next(iter(read_plays())).text
    text = f"{SAMPLE}{play} He waited ... and waited.... It cost 3.50. No. 7 of the U.S. fleet."
    parameters = PunktTrainer(text).get_params()
    learned = learn_punkt(text).parameters()
    assert learned.abbrev_types == parameters.abbrev_types
    assert learned.collocations == parameters.collocations
    assert learned.sent_starters == parameters.sent_starters
    assert learned.ortho_context == parameters.ortho_context


def test_what_was_learned_survives_json_and_rows() -> None:
    model = learn_punkt(SAMPLE)
    assert PunktModel.from_json(json.loads(json.dumps(asdict(model)))) == model
    rows = [
        *({"kind": "abbreviation", "token": token} for token in model.abbreviations),
        *(
            {"kind": "collocation", "token": first, "second_token": second}
            for first, second in model.collocations
        ),
        *({"kind": "sentence_starter", "token": token} for token in model.sentence_starters),
        *(
            {"kind": "orthographic_context", "token": token, "flags": flags}
            for token, flags in model.orthographic_contexts
        ),
    ]
    assert PunktModel.from_rows(rows) == model


@pytest.mark.parametrize(
    ("tokens", "written"),
    [
        (["the", "king", "is", "dead", "."], "the king is dead."),
        (["do", "n't", ",", "i", "'ll", "go", "!"], "don't, i'll go!"),
    ],
)
def test_as_written(tokens: list[str], written: str) -> None:
    assert as_written(tokens) == written


def test_blank_lines_end_sentences_whatever_white_space_is_on_them() -> None:
    text = "\n\n  one \n \t \ntwo\nlines\n\n\n\nthree.\n\n \n"
    spans = splitter().spans(text)
    assert [text[a:b].strip() for a, b in spans] == ["one", "two\nlines", "three."]


def test_only_the_stretch_that_was_asked_for_is_split() -> None:
    text = "Not this. But this. And this. Not that."
    spans = list(splitter().spans(text, [(10, 29)]))
    assert spans == [(10, 19), (20, 29)]
    assert list(splitter().spans(text, [(9, 10)])) == []
    assert list(splitter().spans(text, [(5, 5)])) == []
    assert list(splitter().spans("", [(0, 0)])) == []


@given(WILD)
@settings(max_examples=200, deadline=None)
def test_words_cover_all_but_white_space_in_order(sentence: str) -> None:
    spans = word_spans(sentence)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert "".join(sentence[a:b] for a, b in spans) == "".join(sentence.split())
    assert all(a < b for a, b in spans)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("", []),
        (" \n", []),
        ('"Don\'t," he said.', ['"', "Do", "n't", ",", '"', "he", "said", "."]),
        ("‘Tis “so” — cannot.", ["‘", "Tis", "“", "so", "”", "—", "can", "not", "."]),
        ("It's ''odd''", ["It", "'s", "''", "odd", "''"]),
        ("\"'' it", ['"', "''", "it"]),
        ("3.50 (a, b)...", ["3.50", "(", "a", ",", "b", ")", "..."]),
    ],
)
def test_words_worked_by_hand(sentence: str, words: list[str]) -> None:
    assert [sentence[a:b] for a, b in word_spans(sentence)] == words


@given(WILD)
@example("(''")
@example("[``")
@settings(max_examples=2000, deadline=None)
def test_where_nltk_cannot_place_its_tokens_their_boundaries_stand(sentence: str) -> None:
    class Failing(NLTKWordTokenizer):  # type: ignore[misc]
        def span_tokenize(self, text: str) -> Iterator[tuple[int, int]]:
            raise ValueError(text)

    spans = nltk_word_spans(Failing(), sentence)
    assert spans == list(NLTKWordTokenizer().span_tokenize(sentence))


@given(st.one_of(WILD, st.text(max_size=20)))
@example(" a \x1c\u2028 b\n")
@settings(max_examples=300, deadline=None)
def test_characters_are_the_sentences_own_and_give_it_back(sentence: str) -> None:
    tokens, starts = cut_one(sentence, "character")
    assert as_written(tokens, "character") == " ".join(sentence.split())
    assert starts == sorted(set(starts))
    for token, start in zip(tokens, starts, strict=True):
        assert token == (" " if sentence[start].isspace() else sentence[start])
        assert token != " " or not sentence[start - 1].isspace()


@given(WILD)
@settings(max_examples=200, deadline=None)
def test_words_can_be_had_of_either_unit(text: str) -> None:
    sentence = " ".join(text.split())
    words, starts = cut_one(sentence, "word")
    assert words == [sentence[first:last] for first, last in word_spans(sentence)]
    assert all(sentence.startswith(w, start) for w, start in zip(words, starts, strict=True))
    assert words_of(words, "word") == words
    assert words_of(tokens_of(text, "character"), "character") == words


def test_a_model_splits_the_same_after_its_journey() -> None:
    model = learn_punkt(SAMPLE)
    text = "Dr. Smith met Mr. Jones at 5 p.m. today. It rained. Mr. Jones left."
    spans = SentenceSplitter(model).spans(text)
    again = PunktModel.from_json(json.loads(json.dumps(asdict(model))))
    assert SentenceSplitter(again).spans(text) == spans
    untaught = splitter().spans(text)
    assert untaught != spans
    assert learn_punkt(SAMPLE) == model


def test_nothing_is_learned_from_nothing() -> None:
    assert learn_punkt("") == PunktModel((), (), (), ())


@pytest.mark.parametrize(
    ("tokens", "written"),
    [
        ([], ""),
        (["(", "a", ")", ";", "b", "?"], "(a); b?"),
        (["can", "not", "be"], "cannot be"),
        (["the", "king", "'s", "crown"], "the king's crown"),
    ],
)
def test_more_as_written(tokens: list[str], written: str) -> None:
    assert as_written(tokens) == written


def splitter() -> SentenceSplitter:
    """One that has learned nothing."""
    return SentenceSplitter(PunktModel((), (), (), ()))


WRITTEN_OF = {"i": "I", "romeo": "Romeo", "o'er": "O'er"}


@pytest.mark.parametrize(
    ("tokens", "written"),
    [
        (["the", "king", "is", "dead", "."], "The king is dead."),
        (["and", "i", "love", "romeo", "!"], "And I love Romeo!"),
        (["no", "!", "never", "?", "i", "will", "."], "No! Never? I will."),
        (["'t", "is", "he"], "'Tis he"),
        (["``", "come", "''", ",", "he", "said"], '"Come", he said'),
        (["o'er", "."], "O'er."),
        ([".", ".", "go"], ". . Go"),
        ([], ""),
    ],
)
def test_a_sentence_gets_its_capitals(tokens: list[str], written: str) -> None:
    assert as_sentence(tokens, "word", WRITTEN_OF) == written


def test_a_sentence_of_characters_stays_as_it_is() -> None:
    assert as_sentence(list("i am"), "character", WRITTEN_OF) == "i am"


def test_each_table_of_what_punkt_learned_has_its_own_splitters(tmp_path: Path) -> None:
    """A process keeps them from shard to shard; never for another table of the same name."""
    text = "He met Dr. Prune at noon. It rained."

    def splitters(folder: str, abbreviations: tuple[str, ...]) -> dict[str, SentenceSplitter]:
        store = Store(str(tmp_path / folder))
        model = PunktModel(abbreviations, (), (), ())
        if not store.exists("punkt.parquet"):
            with store.table_writer("punkt.parquet", PUNKT, {}) as writer:
                writer.write(_punkt_columns("en", model, text))
        inputs = {PUNKT.name: "punkt.parquet"}
        return _splitters(Shard(store=store.root, folder="", number=0, inputs=inputs, lineage={}))

    first, again = splitters("knows", ("dr",)), splitters("knows", ("dr",))
    other = splitters("knows not", ())
    assert first is again
    assert [len(one["en"].spans(text)) for one in (first, other)] == [2, 3]
