"""Which sentences ordered bags allow, word after word: a space for searches to walk through.

    [the a] [big ""] [dog]              place 0 --the, a--> 1 --big--> 2 --dog--> 3 --_end_--> done
                                                            1 -----------dog----> 3

A place is what a beginning of a sentence leaves open. Every token leads from a place to one place:
where two choices begin alike, the place after them holds both (Rabin & Scott, Finite automata and
their decision problems, IBM Journal 3, 1959), so that each sentence is found once, however many
ways through the bags it has. Places are made when they are first looked for: ten bags in any order
have 1,024, and a beam meets few of them.

Shapes: K tokens that may follow at a place, V vocabulary.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

DONE = -1
"""The place after `_end_`."""

Phrase = tuple[int, ...]


@dataclass(frozen=True)
class Bag:
    """Choices of one or more tokens each, of which a sentence takes one; or none, if optional."""

    choices: tuple[Phrase, ...]
    optional: bool = False


@dataclass(frozen=True)
class BagSpec:
    """What a sentence is made of.

    any_order: the bags may follow each other in any order; otherwise in theirs.
    gap_words: tokens that may stand between the choices, before the first and after the last,
        `num_gaps` of them at most.
    early_end_nats: what the score loses for each bag that a sentence leaves out at its end; None
        lets no sentence end before its last bag.
    """

    bags: tuple[Bag, ...]
    any_order: bool = False
    gap_words: tuple[int, ...] = ()
    num_gaps: int = 0
    early_end_nats: float | None = None

    @staticmethod
    def of_words(bags: Sequence[Sequence[int]]) -> "BagSpec":
        """Bags of single tokens, one from each, in order."""
        return BagSpec(tuple(Bag(tuple((word,) for word in bag)) for bag in bags))


@dataclass(frozen=True)
class Choices:
    """What may follow at a place, by ascending token id.

    `gains_K`: what a token adds to the score beside its log-probability, in nats. `places_K`: where
    it leads, DONE after `_end_`; `levels_K`: how many bags are behind there, at most, since a beam
    compares beginnings of one level only. `most_gains_K`: no way on from there gains more.
    """

    token_ids_K: list[int]
    gains_K: list[float]
    places_K: list[int]
    levels_K: list[int]
    most_gains_K: list[float]


class Space(Protocol):
    """The sentences that a search may find; place 0 is their beginning."""

    @property
    def widest(self) -> int:
        """No place has more choices."""
        ...

    @property
    def num_levels(self) -> int:
        """Levels are below this."""
        ...

    def most_gain(self, place: int) -> float:
        """No way on from a place gains more, in nats."""
        ...

    def choices(self, place: int) -> Choices:
        """What may follow at a place; nothing where no sentence can be finished from."""
        ...


class _Rest(NamedTuple):
    """One way in which a sentence may go on: `pending` first, then unused bags."""

    used: int  # a bit a bag
    num_gaps: int  # gap words so far
    pending: Phrase


class SentenceSpace:
    """The sentences of a bag specification; place 0 is their beginning.

    Args:
        spec: the bags.
        gains: what a token adds to the score beside its log-probability, by token id, 0 or more:
            -discount * log q(token). Only those of the bags' tokens are looked at.
        end_token_id: `_end_`, which closes every sentence, and gains nothing.

    Raises:
        ValueError: no bags, a bag without choices, a choice without tokens, `_end_` or a token
            without a finite gain of 0 or more among the choices; bags are counted from 0.
    """

    def __init__(self, spec: BagSpec, gains: Sequence[float], end_token_id: int) -> None:
        _check(spec, gains, end_token_id)
        self.spec = spec
        self._gains, self._end = gains, end_token_id
        self._choices_of = [tuple(dict.fromkeys(bag.choices)) for bag in spec.bags]
        self._most_of_bag = [
            max(sum(gains[token] for token in phrase) for phrase in choices)
            for choices in self._choices_of
        ]
        self._most_of_gap = max((gains[token] for token in spec.gap_words), default=0.0)
        self._place_of: dict[frozenset[_Rest], int] = {}
        self._rests: list[frozenset[_Rest]] = []
        self._known: dict[int, Choices] = {}
        self._place(frozenset([_Rest(0, 0, ())]))

    @property
    def widest(self) -> int:
        """No place has more choices."""
        tokens_of = [{token for phrase in own for token in phrase} for own in self._choices_of]
        is_plain = not (self.spec.any_order or self.spec.num_gaps) and not any(
            bag.optional or any(len(phrase) > 1 for phrase in bag.choices) for bag in self.spec.bags
        )
        if is_plain:
            return 1 + max(map(len, tokens_of))
        return 1 + len(set(self.spec.gap_words).union(*tokens_of))

    @property
    def num_levels(self) -> int:
        """Levels are below this."""
        return len(self.spec.bags) + 1

    def choices(self, place: int) -> Choices:
        """What may follow at a place; here there is always something."""
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = self._made_choices(place)
        return known

    def gain(self, token_ids: Sequence[int]) -> float:
        """What a sentence of the space gains, `_end_` included.

        Raises:
            ValueError: the bags don't allow this sentence.
        """
        total, place = 0.0, 0
        for token in (*token_ids, self._end):
            choices = self.choices(place)
            if token not in choices.token_ids_K:
                raise ValueError(f"{list(token_ids)} is no sentence of these bags.")
            index = choices.token_ids_K.index(token)
            total, place = total + choices.gains_K[index], choices.places_K[index]
        return total

    def slots(self, token_ids: Sequence[int]) -> list[tuple[int | None, Phrase]]:
        """The choices that a sentence is made of, each with the index of its bag, None for a gap.

        Of several ways through the bags, one with the fewest gap words.

        Raises:
            ValueError: the bags don't allow this sentence.
        """
        # A way so far: gap words, what is left, the slots.
        ways: dict[_Rest, tuple[tuple[int | None, Phrase], ...]] = {_Rest(0, 0, ()): ()}
        for token in token_ids:
            longer: dict[_Rest, tuple[tuple[int | None, Phrase], ...]] = {}
            for rest, slots in ways.items():
                for first, after in self._ways_on(rest):
                    if first != token or after in longer:
                        continue
                    if rest.pending:
                        bag, begun = slots[-1]
                        longer[after] = (*slots[:-1], (bag, (*begun, token)))
                    else:
                        newest = (after.used & ~rest.used).bit_length() - 1
                        longer[after] = (*slots, (None if newest < 0 else newest, (token,)))
            ways = longer
        whole = [rest for rest in ways if self._end_gain(rest) is not None]
        if not whole:
            raise ValueError(f"{list(token_ids)} is no sentence of these bags.")
        return list(ways[min(whole, key=lambda rest: (rest.num_gaps, rest.used))])

    def _made_choices(self, place: int) -> Choices:
        by_token: dict[int, set[_Rest]] = {}
        end_gains = []
        for rest in self._rests[place]:
            for token, after in self._ways_on(rest):
                by_token.setdefault(token, set()).add(after)
            end_gain = self._end_gain(rest)
            if end_gain is not None:
                end_gains.append(end_gain)
        places = {token: self._place(frozenset(rests)) for token, rests in by_token.items()}
        facts = {
            place: (self._level(place), self.most_gain(place)) for place in set(places.values())
        }
        arcs = [(token, self._gains[token], at, *facts[at]) for token, at in places.items()]
        if end_gains:
            arcs.append((self._end, max(end_gains), DONE, len(self.spec.bags), 0.0))
        return Choices(*(list(column) for column in zip(*sorted(arcs), strict=True)))

    def most_gain(self, place: int) -> float:
        """No way on from a place gains more, in nats."""
        return max(
            sum(self._gains[token] for token in rest.pending)
            + sum(self._most_of_bag[bag] for bag in self._unused(rest))
            + (self.spec.num_gaps - rest.num_gaps) * self._most_of_gap
            for rest in self._rests[place]
        )

    def _level(self, place: int) -> int:
        return max(rest.used.bit_count() for rest in self._rests[place])

    def _ways_on(self, rest: _Rest) -> Iterator[tuple[int, _Rest]]:
        if rest.pending:
            yield rest.pending[0], rest._replace(pending=rest.pending[1:])
            return
        for bag, used in self._next_bags(rest):
            for first, *others in self._choices_of[bag]:
                yield first, _Rest(used, rest.num_gaps, tuple(others))
        if rest.num_gaps < self.spec.num_gaps:
            for token in self.spec.gap_words:
                yield token, rest._replace(num_gaps=rest.num_gaps + 1)

    def _next_bags(self, rest: _Rest) -> Iterator[tuple[int, int]]:
        """Bags that the next choice may come from, with what is used after it.

        In order, the optional ones that are passed over count as used. In any order, the first of
        equal bags comes first: which of them a word is from makes no difference.
        """
        used = rest.used
        offered = set[Bag]()
        for bag in self._unused(rest):
            if not self.spec.any_order:
                used |= 1 << bag
                yield bag, used
                if not self.spec.bags[bag].optional:
                    return
            elif self.spec.bags[bag] not in offered:
                offered.add(self.spec.bags[bag])
                yield bag, used | 1 << bag

    def _unused(self, rest: _Rest) -> Iterator[int]:
        return (bag for bag in range(len(self.spec.bags)) if not rest.used >> bag & 1)

    def _end_gain(self, rest: _Rest) -> float | None:
        """What `_end_` gains here; None where no sentence may end."""
        nothing_said = not rest.used and not rest.num_gaps
        if rest.pending or nothing_said:
            return None
        left_out = sum(not self.spec.bags[bag].optional for bag in self._unused(rest))
        if not left_out:
            return 0.0
        cost = self.spec.early_end_nats
        return None if cost is None else -left_out * cost

    def _place(self, rests: frozenset[_Rest]) -> int:
        place = self._place_of.setdefault(rests, len(self._rests))
        if place == len(self._rests):
            self._rests.append(rests)
        return place


def _check(spec: BagSpec, gains: Sequence[float], end_token_id: int) -> None:
    if not spec.bags:
        raise ValueError("there are no bags.")
    for index, bag in enumerate(spec.bags):
        if not bag.choices:
            raise ValueError(f"bag {index} is empty.")
        if not all(bag.choices):
            raise ValueError(f"bag {index} has a choice without tokens; make the bag optional.")
    tokens = {token for bag in spec.bags for phrase in bag.choices for token in phrase}
    for token in sorted({*tokens, *spec.gap_words}):
        is_word = 0 <= token < len(gains) and token != end_token_id
        if not (is_word and 0.0 <= gains[token] < math.inf):
            where = next(
                (
                    f"bag {index}"
                    for index, bag in enumerate(spec.bags)
                    if any(token in phrase for phrase in bag.choices)
                ),
                "gap_words",
            )
            raise ValueError(f"{where}: {token} is not the id of a word with a frequency.")
    if spec.early_end_nats is not None and not 0.0 <= spec.early_end_nats < math.inf:
        raise ValueError(f"early_end_nats is {spec.early_end_nats}; it must be 0 or more.")
    if spec.num_gaps < 0:
        raise ValueError(f"num_gaps is {spec.num_gaps}; it must be 0 or more.")
