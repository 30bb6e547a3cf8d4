"""Languages, told from a few lines; first lines of books that are in the public domain."""

import pytest

from data.languages import FEWEST_LETTERS, LanguageDetector, language_sample
from data.plays import read_plays

DETECTOR = LanguageDetector()
LINES = {
    "de": "Als Gregor Samsa eines Morgens aus unruhigen Träumen erwachte, fand er sich in seinem "
    "Bett zu einem ungeheueren Ungeziefer verwandelt. Er lag auf seinem panzerartig harten Rücken "
    "und sah, wenn er den Kopf ein wenig hob, seinen gewölbten, braunen Bauch.",
    "fr": "Le 24 février 1815, la vigie de Notre-Dame de la Garde signala le trois-mâts le "
    "Pharaon, venant de Smyrne, Trieste et Naples. Comme d'habitude, un pilote côtier partit "
    "aussitôt du port, rasa le château d'If, et alla aborder le navire entre le cap de Morgion.",
    "es": "En un lugar de la Mancha, de cuyo nombre no quiero acordarme, no ha mucho tiempo que "
    "vivía un hidalgo de los de lanza en astillero, adarga antigua, rocín flaco y galgo corredor. "
    "Una olla de algo más vaca que carnero, salpicón las más noches.",
    "it": "Nel mezzo del cammin di nostra vita mi ritrovai per una selva oscura, ché la diritta "
    "via era smarrita. Ahi quanto a dir qual era è cosa dura esta selva selvaggia e aspra e forte "
    "che nel pensier rinova la paura! Tant'è amara che poco è più morte.",
    "ru": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива "
    "по-своему. Все смешалось в доме Облонских. Жена узнала, что муж был в связи с бывшею в их "
    "доме француженкою-гувернанткой, и объявила мужу, что не может жить с ним.",
    "en": "It was the best of times, it was the worst of times, it was the age of wisdom, it was "
    "the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was "
    "the season of Light, it was the season of Darkness.",
}


@pytest.mark.parametrize("language", LINES)
def test_a_few_lines_tell_their_language(language: str) -> None:
    assert DETECTOR.detect(language_sample(LINES[language])) == language


def test_plays_are_in_english_whatever_is_said_in_them() -> None:
    for play in list(read_plays())[::5]:
        assert DETECTOR.detect(language_sample(play.text)) == "en"


def test_what_is_too_short_or_no_language_is_left_open() -> None:
    assert DETECTOR.detect("It is.") is None
    assert DETECTOR.detect(LINES["en"][: FEWEST_LETTERS // 2]) is None
    assert DETECTOR.detect("1234 +-*/ " * 100) is None
    assert DETECTOR.detect("qx zv kj wq " * 50) is None


def test_a_sample_is_from_all_over_a_text() -> None:
    text = "".join(sign * 2_000 for sign in "abcde")
    assert language_sample(text) == "\n".join(sign * 500 for sign in "abcde")
    assert language_sample("short") == "short"
