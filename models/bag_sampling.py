"""Draw sentences from those that bags allow, in the proportion of their scores.

    p(sentence) ~ exp(score / temperature)        over all sentences of the space

Where the sentences are few enough, all are found and drawn from exactly. Otherwise particles are:
beginnings that grow by one token drawn from the choices at hand, each weighed by how much there was
to choose from, and drawn anew when few of them carry most of the weight (Doucet, de Freitas &
Gordon, Sequential Monte Carlo Methods in Practice, 2001, chapter 1). Their effective sample size
(Kong, Liu & Wong 1994) says how far to trust the draws.

top_k and nucleus narrow the choices at every token, on either path; sentences that take one of the
others have probability 0.

Shapes: as in `models.beginnings`; M finished sentences.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.beginnings import Beginnings, Candidates, PickedSentence, State, Step, read_on
from models.sampling import narrowed
from models.sentence_space import DONE, Space

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SentenceSampling:
    """How sentences are drawn.

    Raises:
        ValueError: a setting out of its range.
    """

    temperature: float = 1.0
    """Below 1 keeps to the best sentences, above 1 dares more."""
    top_k: int | None = None
    """At every token, choose among so many of the best."""
    nucleus: float | None = None
    """At every token, choose among the fewest that hold so much of the probability."""
    most_enumerated: int = 10_000
    """Sentences that are all found and drawn from exactly; more are drawn by particles."""
    num_particles: int = 1_024
    """Beginnings that grow side by side."""

    def __post_init__(self) -> None:
        narrowed(np.zeros(1), temperature=self.temperature, top_k=self.top_k, nucleus=self.nucleus)
        if self.most_enumerated < 0 or self.num_particles < 1:
            raise ValueError(
                f"most_enumerated {self.most_enumerated}, num_particles {self.num_particles}: "
                "the least are 0 and 1"
            )


@dataclass(frozen=True)
class Sampled:
    """The sentences drawn, in the order of drawing, each as often as it was.

    `is_exact`: all sentences of the bags were weighed. `effective_sample_size`: so many independent
    draws from the true distribution would say as much; at most the particles, or the draws.
    """

    sentences: list[PickedSentence]
    is_exact: bool
    effective_sample_size: float

    def counts(self) -> Counter[tuple[int, ...]]:
        """How often each sentence was drawn."""
        return Counter(sentence.token_ids for sentence in self.sentences)


def sample_sentences(
    space: Space,
    step: Step,
    initial_state: State,
    opening_token_id: int,
    *,
    num_sentences: int,
    rng: np.random.Generator,
    how: SentenceSampling,
    rows_at_once: int = 1024,
) -> Sampled:
    """Draw sentences of a bag set.

    Args:
        space: what the bags allow, and what their words gain.
        step: the model, as for `decode`, and so are the next two.
        initial_state: see above.
        opening_token_id: see above.
        num_sentences: how many to draw; one may come more than once.
        rng: where the draws come from.
        how: temperature and the rest.
        rows_at_once: the most beginnings that the model reads at once.

    Raises:
        ValueError: every sentence has probability 0, or `step` gives NaN.
    """
    start = Beginnings.of([space], opening_token_id, initial_state)
    found = _enumerated(start, space, step, how, rows_at_once)
    is_exact = found is not None
    sentences, log_weights_M = found or _particles(start, space, step, how, rng, rows_at_once)
    if not len(sentences) or not np.isfinite(log_weights_M).any():
        raise ValueError("every sentence of the bags has probability 0.")
    weights_M = np.exp(log_weights_M - log_weights_M.max())
    weights_M /= weights_M.sum()
    drawn = rng.choice(len(sentences), size=num_sentences, p=weights_M)
    size = float(num_sentences) if is_exact else _effective_sample_size(weights_M)
    return Sampled([sentences[index] for index in drawn], is_exact, size)


def _enumerated(
    beginnings: Beginnings, space: Space, step: Step, how: SentenceSampling, rows_at_once: int
) -> tuple[list[PickedSentence], Floats] | None:
    """All sentences and the logs of their weights; None where there are too many."""
    sentences: list[PickedSentence] = []
    while len(beginnings):
        candidates = read_on(beginnings, [space], step, rows_at_once)
        allowed_C = torch.from_numpy(np.isfinite(_log_steps(beginnings, candidates, how)))
        done_C, open_C = (
            which[allowed_C[which]] for which in (candidates.done(), candidates.open())
        )
        if len(sentences) + len(done_C) + len(open_C) > how.most_enumerated:
            return None
        sentences += beginnings.sentences(candidates, done_C)
        beginnings = beginnings.with_candidates(candidates, open_C)
    return sentences, np.array([one.score for one in sentences]) / how.temperature


def _particles(
    start: Beginnings,
    space: Space,
    step: Step,
    how: SentenceSampling,
    rng: np.random.Generator,
    rows_at_once: int,
) -> tuple[list[PickedSentence], Floats]:
    """Finished particles and the logs of their weights."""
    particles = start.take(torch.zeros(how.num_particles, dtype=torch.int64))
    log_weights_N = np.zeros(how.num_particles)
    sentences: list[PickedSentence] = []
    finished: list[float] = []
    while len(particles):
        candidates = read_on(particles, [space], step, rows_at_once)
        row_C = candidates.row_C.numpy()
        log_steps_C = _log_steps(particles, candidates, how)
        # What a particle had to choose from is what its own choice is a fair draw of.
        total_N = np.logaddexp.reduceat(log_steps_C, np.unique(row_C, return_index=True)[1])
        chosen_N = _drawn_of_each(row_C, log_steps_C, rng)
        alive_N = np.isfinite(total_N)
        log_weights_N = (log_weights_N + total_N)[alive_N]
        chosen = torch.from_numpy(chosen_N[alive_N])
        is_done_N = candidates.place_C[chosen] == DONE
        sentences += particles.sentences(candidates, chosen[is_done_N])
        finished += log_weights_N[is_done_N.numpy()].tolist()
        particles = particles.with_candidates(candidates, chosen[~is_done_N])
        log_weights_N = log_weights_N[~is_done_N.numpy()]
        if len(particles):
            particles, log_weights_N = _renewed(particles, log_weights_N, rng)
    return sentences, np.array(finished)


def _log_steps(beginnings: Beginnings, candidates: Candidates, how: SentenceSampling) -> Floats:
    """What each candidate adds to the log of its beginning's weight; -inf outside of top_k and
    nucleus.
    """
    added_C = candidates.score_C - beginnings.score_N[candidates.row_C]
    log_steps_C: Floats = added_C.numpy() / how.temperature
    if how.top_k is None and how.nucleus is None:
        return log_steps_C
    kept_C = np.zeros(len(log_steps_C), dtype=bool)
    for row in _rows(candidates.row_C.numpy()):
        if np.isfinite(log_steps_C[row]).any():
            kept_C[row] = narrowed(log_steps_C[row], top_k=how.top_k, nucleus=how.nucleus) > 0.0
    return np.where(kept_C, log_steps_C, -np.inf)


def _rows(row_C: npt.NDArray[np.int64]) -> Iterator[slice]:
    edges = [*np.unique(row_C, return_index=True)[1].tolist(), len(row_C)]
    return map(slice, edges[:-1], edges[1:])


def _drawn_of_each(
    row_C: npt.NDArray[np.int64], log_steps_C: Floats, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """One candidate of each row, drawn by its weight: the first arrival of Gumbel's clocks."""
    arrival_C = log_steps_C + rng.gumbel(size=len(log_steps_C))
    order = np.lexsort((-arrival_C, row_C))
    return np.asarray(order[np.unique(row_C[order], return_index=True)[1]])


def _renewed(
    particles: Beginnings, log_weights_N: Floats, rng: np.random.Generator
) -> tuple[Beginnings, Floats]:
    """The same, or drawn anew by weight where they are worth less than half their number."""
    weights_N = np.exp(log_weights_N - log_weights_N.max())
    weights_N /= weights_N.sum()
    number = len(weights_N)
    if _effective_sample_size(weights_N) >= number / 2:
        return particles, log_weights_N
    # Systematic resampling: one random number, evenly spaced marks.
    marks_N = (rng.random() + np.arange(number)) / number
    kept_N = np.searchsorted(np.cumsum(weights_N), marks_N).clip(max=number - 1)
    mean = np.logaddexp.reduce(log_weights_N) - np.log(number)
    return particles.take(torch.from_numpy(kept_N)), np.full(number, mean)


def _effective_sample_size(weights_M: Floats) -> float:
    return float(1.0 / np.square(weights_M).sum())
