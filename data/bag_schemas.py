"""The tables of bags of words: the sentences picked from them, and how often that is right."""

import pyarrow as pa

from data.book_schemas import TOKEN_LIST
from data.table import Column, Table

RECOVERED = (
    Column("num_sentences", pa.int64(), "sentences tried", "sentences"),
    Column("num_sentences_right", pa.int64(), "recovered whole", "sentences"),
    Column("num_words", pa.int64(), "words tried", "words"),
    Column("num_words_right", pa.int64(), "recovered", "words"),
)

OPENINGS = Table(
    "openings",
    "a token that may be fed before a sentence's first word, tried on validation sentences",
    "tune",
    (
        Column("opening", pa.string(), "_start_ or _end_"),
        Column("chosen", pa.bool_(), "whether the model is used with it: it recovers more words"),
        *RECOVERED,
    ),
)

DISCOUNTS = Table(
    "discounts",
    "a discount of common words, tried on validation sentences",
    "tune",
    (
        Column("frequency_discount", pa.float64(), "the lambda of a sentence's score"),
        Column("chosen", pa.bool_(), "whether it is kept with the model: it recovers most words"),
        *RECOVERED,
    ),
)

MIXTURES = Table(
    "mixtures",
    "a weight of the language model beside an n-gram model, tried on validation sentences",
    "tune",
    (
        Column(
            "lstm_weight",
            pa.float64(),
            "of the LSTM's probabilities; the n-gram model has the rest",
        ),
        Column("chosen", pa.bool_(), "whether it is kept with the model: it recovers most words"),
        *RECOVERED,
    ),
)

BAG_SENTENCES = Table(
    "bag_sentences",
    "a generated sentence",
    "pick",
    (
        Column("bag_set_id", pa.string(), "the bag set, by its id or its line in the file"),
        Column("rank", pa.int32(), "1 is the best, or was drawn most often"),
        Column("tokens", TOKEN_LIST, "one choice from each bag, and gap words, as they follow"),
        Column("sentence", pa.string(), "the tokens as a person would write them"),
        Column("log_probability_nats", pa.float64(), "of the tokens and _end_", "nats"),
        Column("score", pa.float64(), "log p(sentence) - discount x sum of log q(word)", "nats"),
        Column("strategy", pa.string(), "greedy, beam, diverse, sample or exact"),
        Column("frequency_discount", pa.float64(), "the discount of common words"),
        Column("proven_best", pa.bool_(), "whether no other sentence of the bags scores higher"),
        Column(
            "score_bound",
            pa.float64(),
            "no sentence of the bags scores higher; none for draws",
            "nats",
            nullable=True,
        ),
        Column("num_drawn", pa.int64(), "how often it was drawn", "draws", nullable=True),
        Column(
            "effective_sample_size",
            pa.float64(),
            "independent draws that would say as much as those of the set",
            "draws",
            nullable=True,
        ),
    ),
)

BAG_REFUSALS = Table(
    "bag_refusals",
    "a bag set that could not be answered",
    "pick",
    (
        Column("bag_set_id", pa.string(), "the bag set, by its id or its line in the file"),
        Column("reason", pa.string(), "what is wrong with it, and where"),
        Column("remedy", pa.string(), "what its owner can do"),
    ),
)

BAG_REASONS = Table(
    "bag_reasons",
    "a choice of a bag, held against the one that the best sentence takes",
    "bookloom generate",
    (
        Column("bag_set_id", pa.string(), "the bag set, by its id or its line in the file"),
        Column("slot", pa.int32(), "the place in the sentence, from 1, gap words apart"),
        Column("bag", pa.int32(), "the bag, from 1"),
        Column("choice", pa.string(), "its words; empty where the bag gives none"),
        Column("chosen", pa.bool_(), "whether the sentence takes it"),
        Column("most_frequent", pa.bool_(), "whether it is the bag's most frequent choice"),
        Column("score", pa.float64(), "of the sentence with it in this place", "nats"),
        Column("probability", pa.float64(), "exp(score), of all choices of the bag in this place"),
        Column(
            "margin",
            pa.float64(),
            "from the sentence to the best one found that does not take this choice from this "
            "bag; none for choices that were not taken, and where there is no such sentence",
            "nats",
            nullable=True,
        ),
        Column("without", pa.string(), "that sentence", nullable=True),
    ),
)

BAG_RECOVERY = Table(
    "bag_recovery",
    "a way of picking, tried on bags that each hide the true word of a held-out sentence",
    "recover",
    (
        Column("strategy", pa.string(), "greedy or beam"),
        Column("beam_width", pa.int32(), "hypotheses kept"),
        Column("frequency_discount", pa.float64(), "the discount of common words"),
        Column("bag_size", pa.int32(), "words in each bag"),
        *RECOVERED,
        Column("sets_per_second", pa.float64(), "speed", "bag sets/s", volatile=True),
    ),
)

RECOVERY_EXAMPLES = Table(
    "recovery_examples",
    "a held-out sentence, its bags and what was picked from them",
    "recover",
    (
        Column("bag_set_id", pa.string(), "the sentence's number among those drawn"),
        Column("true_tokens", TOKEN_LIST, "what the author wrote"),
        Column("picked_tokens", TOKEN_LIST, "what the beam picked"),
        Column("bags", pa.list_(TOKEN_LIST), "the bags"),
    ),
)
