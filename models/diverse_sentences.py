"""Sentences that differ from each other: the best one, then the best that differs enough from it.

`difference` counts the words of a sentence that another one has not, each as often as it stands
there. Every next sentence differs in at least so many words from each one before it; that is
maximal marginal relevance with a hard limit in place of a weight (Carbonell & Goldstein, The use of
MMR, SIGIR 1998), and the limit becomes part of the space that is searched.
"""

from collections import Counter
from collections.abc import Sequence

from models.bag_decoding import Picked, decode
from models.beginnings import PickedSentence, State, Step
from models.sentence_space import DONE, Choices, Phrase, Space

_Left = tuple[tuple[tuple[int, int], ...], ...]
"""Of each sentence to differ from: its words that are not met yet, and how often they stand."""


class DifferentSpace:
    """Those sentences of a space that differ from others in at least so many words."""

    def __init__(self, space: Space, others: Sequence[Phrase], least_difference: int) -> None:
        self._space, self._least = space, least_difference
        left = tuple(tuple(sorted(Counter(other).items())) for other in others)
        self._keys: list[tuple[int, _Left, tuple[int, ...]]] = [(0, left, (0,) * len(others))]
        self._place_of = {self._keys[0]: 0}

    @property
    def widest(self) -> int:
        """No place has more choices."""
        return self._space.widest

    @property
    def num_levels(self) -> int:
        """Levels are below this."""
        return self._space.num_levels * (self._least + 1)

    def most_gain(self, place: int) -> float:
        """No way on from a place gains more, in nats."""
        return self._space.most_gain(self._keys[place][0])

    def choices(self, place: int) -> Choices:
        """What may follow at a place: `_end_` only where the sentence differs enough.

        Beginnings that differ more are compared among themselves, or a beam would be full of those
        that can't differ enough any more.
        """
        inner, left, differences = self._keys[place]
        given = self._space.choices(inner)
        arcs = []
        for token, gain, inner_place, level, most_gain in zip(
            given.token_ids_K,
            given.gains_K,
            given.places_K,
            given.levels_K,
            given.most_gains_K,
            strict=True,
        ):
            if inner_place == DONE:
                if min(differences) >= self._least:
                    arcs.append((token, gain, DONE, level, most_gain))
                continue
            after_left, after = self._met(token, left, differences)
            key = (inner_place, after_left, after)
            at = self._place_of.setdefault(key, len(self._keys))
            if at == len(self._keys):
                self._keys.append(key)
            stratum = level * (self._least + 1) + min(after)
            arcs.append((token, gain, at, stratum, most_gain))
        columns = zip(*arcs, strict=True) if arcs else ([], [], [], [], [])
        return Choices(*(list(column) for column in columns))

    def _met(
        self, token: int, left: _Left, differences: tuple[int, ...]
    ) -> tuple[_Left, tuple[int, ...]]:
        after_left, after = [], []
        for words, difference in zip(left, differences, strict=True):
            counts = dict(words)
            if counts.get(token, 0):
                counts[token] -= 1
            else:
                difference = min(difference + 1, self._least)
            # Once it differs enough, its words matter no more.
            enough = difference == self._least
            after_left.append(() if enough else tuple(sorted(counts.items())))
            after.append(difference)
        return tuple(after_left), tuple(after)


def diverse_sentences(
    space: Space,
    step: Step,
    initial_state: State,
    opening_token_id: int,
    *,
    num_sentences: int,
    least_difference: int,
    beam_width: int,
) -> Picked:
    """Up to so many sentences, each the best found that differs enough from those before it.

    The bound is the first one's.

    Args:
        space: what the bags allow, and what their words gain.
        step: the model, as for `decode`, and so are the next two.
        initial_state: see above.
        opening_token_id: see above.
        num_sentences: how many; bags may allow fewer that differ so much.
        least_difference: words of each that each other has not, at least 1.
        beam_width: of each search.

    Raises:
        ValueError: a setting out of range, and as `decode` does.
    """
    if least_difference < 1 or num_sentences < 1:
        raise ValueError(
            f"least_difference {least_difference}, num_sentences {num_sentences}: the least is 1."
        )
    found: list[PickedSentence] = []
    first: Picked | None = None
    while len(found) < num_sentences:
        others = [sentence.token_ids for sentence in found]
        among = DifferentSpace(space, others, least_difference) if others else space
        [picked] = decode([among], step, initial_state, opening_token_id, beam_width=beam_width)
        if not picked.sentences:
            break
        found += picked.sentences
        first = first or picked
    assert first is not None, "a space of bags has a sentence"
    return Picked(found, first.is_proven, first.score_bound)


def difference(words: Phrase, others: Phrase) -> int:
    """How many of the words the others have not, each as often as it stands there."""
    return (Counter(words) - Counter(others)).total()
