"""A text that a user typed, as a language model reads it: cut as books are."""

from data.errors import UserMistake, check_text
from models.bundle import Bundle
from models.special_tokens import END
from tasks.seams.tokeniser import PunktModel, SentenceSplitter, cut


def cut_sentences(bundle: Bundle, text: str, name: str = "text") -> list[list[str]]:
    """The tokens of each sentence, in the text's own characters; `name` is the option's.

    Sentences end where the language of which most was learned has them end.

    Raises:
        UserMistake: the text is not Unicode.
    """
    check_text(text, f"--{name}")
    language = max(bundle.language.values(), key=lambda model: len(model["orthographic_contexts"]))
    splitter = SentenceSplitter(PunktModel.from_json(language))
    spans = splitter.spans(text)
    sentences: list[list[str]] = cut(text, spans, bundle.vocabulary.unit).tokens.to_pylist()
    return sentences


def read_text(bundle: Bundle, text: str, name: str = "text") -> list[int]:
    """The token ids of a text, each sentence closed by `_end_`; `name` is the option's.

    Raises:
        UserMistake: the text holds no token, or is not Unicode.
    """
    ids = [
        token_id
        for sentence in cut_sentences(bundle, text, name)
        for token_id in (*bundle.vocabulary.encode(sentence), END)
    ]
    if not ids:
        raise UserMistake(
            f"The text {text!r} holds no {bundle.vocabulary.unit}.",
            f"Pass --{name} with a sentence.",
        )
    return ids
