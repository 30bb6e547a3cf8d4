"""Play: bags that a person fills on a page -> sentences, with what each choice was held against.

in    bags as the page sends them, a language model
does  picks sentences, and looks at the alternatives of the best one
out   what the page shows
"""

import math
from typing import Any

from data.bag_sets import bag_set_of_record
from data.errors import UserMistake
from models.branching_step import BranchingStep
from models.bundle import Bundle
from tasks.seams.bag_answers import Answer, PickSettings, answers
from tasks.seams.registry import read_bundle

MOST_CHOICES = 2_000
MOST_BEAM_WIDTH = 512
MOST_SENTENCES = 20
MOST_DISCOUNT = 5.0


class Game:
    """A model to play with."""

    def __init__(self, tracking_uri: str, model_uri: str | None) -> None:
        self.model, content = read_bundle(tracking_uri, model_uri)
        self._bundle = Bundle.from_bytes(content)
        self._reader = BranchingStep(self._bundle.model)

    @property
    def facts(self) -> dict[str, Any]:
        """What the page says of the model and begins with."""
        vocabulary = self._bundle.vocabulary
        return {
            "model": self.model,
            "num_types": len(vocabulary),
            "unit": vocabulary.unit,
            "frequency_discount": self._bundle.frequency_discount,
        }

    def pick(self, request: Any) -> dict[str, Any]:
        """Sentences for one bag set.

        Args:
            request: `bags` and the other keys of a bag set in JSON; `beam_width`,
                `frequency_discount`, `num_sentences`, `unknown`.

        Returns:
            `sentences`, each with `sentence`, `log_probability_nats`, `score`; whether the first is
            `proven_best`; its `slots`, each with its `bag` (from 0), its `margin` in nats or None,
            and `choices`: `words`, `probability`, `chosen`.

        Raises:
            UserMistake: bags that are none, an unknown word, a setting out of range.
        """
        if not isinstance(request, dict):
            raise UserMistake("The request is no JSON object.", "Send bags and settings.")
        record = dict(request)
        settings = _settings(record)
        bag_set = bag_set_of_record(record, 1, "the page")
        num_choices = sum(len(bag.choices) for bag in bag_set.bags)
        if num_choices > MOST_CHOICES:
            raise UserMistake(
                f"The bags hold {num_choices:,} words.", f"Keep to {MOST_CHOICES:,} on this page."
            )
        [answer] = answers(self._bundle, [bag_set], settings, self.model, reader=self._reader)
        if not isinstance(answer, Answer):
            raise answer.mistake
        return self._shown(answer, settings.beam_width)

    def _shown(self, answer: Answer, beam_width: int) -> dict[str, Any]:
        best = answer.picked.sentences[0]
        slots = answer.picker.reasons(answer.spec, best, beam_width=beam_width)
        return {
            "sentences": [
                {
                    "sentence": answer.as_text(sentence),
                    "log_probability_nats": _finite(sentence.log_probability_nats),
                    "score": _finite(sentence.score),
                }
                for sentence in answer.picked.sentences
            ],
            "proven_best": answer.picked.is_proven,
            "slots": [
                {
                    "bag": slot.bag,
                    "margin": _finite(best.score - slot.best_without.score)
                    if slot.best_without
                    else None,
                    "choices": [
                        {
                            "words": " ".join(answer.words[token] for token in one.phrase),
                            "probability": one.probability,
                            "chosen": one.phrase == slot.phrase,
                        }
                        for one in slot.alternatives
                    ],
                }
                for slot in slots
            ],
        }


def _settings(record: dict[str, Any]) -> PickSettings:
    """The page's settings, taken out of its request."""
    beam_width = _number(record, "beam_width", 64, 1, MOST_BEAM_WIDTH)
    wanted = _number(record, "num_sentences", 5, 1, MOST_SENTENCES)
    discount = record.pop("frequency_discount", None)
    if discount is not None and not (
        isinstance(discount, int | float) and 0.0 <= discount <= MOST_DISCOUNT
    ):
        raise UserMistake(f"frequency_discount is {discount!r}.", f"Choose 0 to {MOST_DISCOUNT:g}.")
    unknown = record.pop("unknown", "error")
    if unknown not in ("error", "drop", "share"):
        raise UserMistake(f"unknown is {unknown!r}.", "Choose error, drop or share.")
    return PickSettings(
        bags="the page",
        beam_width=beam_width,
        num_sentences=wanted,
        frequency_discount=discount,
        unknown=unknown,
    )


def _number(record: dict[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = record.pop(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UserMistake(f"{name} is {value!r}.", f"Choose a whole number from {least} to {most}.")
    return value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
