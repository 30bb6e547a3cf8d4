"""A text that a user typed, as a language model reads it: cut as books are."""

from data.errors import UserMistake
from models.batching import END
from models.bundle import Bundle
from tasks.seams.tokeniser import PunktModel, SentenceSplitter, word_spans


def cut_sentences(bundle: Bundle, text: str) -> list[list[str]]:
    """The tokens of each sentence, in the text's own characters.

    Sentences end where the language of which most was learned has them end.
    """
    language = max(bundle.language.values(), key=lambda model: len(model["orthographic_contexts"]))
    splitter = SentenceSplitter(PunktModel.from_json(language))
    sentences = (text[start:end] for start, end in splitter.spans(text, 0, len(text)))
    return [[sentence[a:b] for a, b in word_spans(sentence)] for sentence in sentences]


def read_text(bundle: Bundle, text: str) -> list[int]:
    """The token ids of a text, each sentence closed by `_end_`.

    Raises:
        UserMistake: the text holds no token.
    """
    ids = [
        token_id
        for sentence in cut_sentences(bundle, text)
        for token_id in (*bundle.vocabulary.encode(sentence), END)
    ]
    if not ids:
        raise UserMistake(f"The text {text!r} holds no word.", "Pass --text with a sentence.")
    return ids
