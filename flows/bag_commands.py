"""The commands that pick sentences from bags."""

import sys
from typing import Literal

from flows.answers import sentences_text
from flows.command_tools import MISTAKE_EXIT_CODE, AsJson, examples, print_answer, validated
from flows.environment import tracking_uri

GENERATE_EXAMPLES = examples(
    "bookloom generate --bags examples",
    "bookloom generate --bags my-bags.txt --num-sentences 5 --frequency-discount 0.5",
    "bookloom generate --bags my-bags.txt --strategy exact --seconds 60",
    "bookloom generate --bags my-bags.txt --strategy diverse --least-difference 3",
    "bookloom generate --bags my-bags.txt --any-order --gaps 2 --why reasons",
    "bookloom generate --bags many.parquet --unknown share --out sentences",
)


def generate(
    *,
    bags: str,
    strategy: Literal["greedy", "beam", "diverse", "sample", "exact"] = "beam",
    beam_width: int = 64,
    frequency_discount: float | None = None,
    num_sentences: int = 1,
    least_difference: int = 2,
    max_expansions: int = 200_000,
    seconds: float | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    nucleus: float | None = None,
    num_particles: int = 1024,
    seed: int = 1,
    unknown: Literal["error", "drop", "share", "spell"] = "error",
    spelling_model: str | None = None,
    any_order: bool = False,
    gaps: int = 0,
    early_end: float | None = None,
    before: str = "",
    out: str | None = None,
    why: str | None = None,
    model: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Pick one word from each bag so that they make a sentence.

    A bag file has one set a line: bags parted by |, words by spaces or commas, phrases in quotation
    marks, "" where a bag may give nothing. A line may also be JSON: {"bags": [["hello", "hi"],
    {"words": ["dear", "old"], "times": 2, "optional": true}, ["world"]], "any_order": false,
    "gaps": 1, "early_end": 4.0, "before": "A text to go on from.", "id": "greeting"}. A Parquet
    file has a column bags, lists of lists of words, and these keys as columns, if any.

    A set that can't be answered costs itself only: it is listed as refused, and the exit code is 2.

    Args:
        bags: a file of bag sets, or `examples` for those that come with bookloom.
        strategy: greedy takes the best word at each step; beam keeps the best beginnings; diverse
            wants sentences that differ; sample draws them as probable as they are; exact goes on
            until it is proven that there is none better.
        beam_width: beginnings kept by beam, and by diverse and exact.
        frequency_discount: 0 for the most probable sentence, 1 to discount common words; by default
            what the model was tuned to.
        num_sentences: sentences for each bag set; draws for sample.
        least_difference: for diverse, words of each sentence that each other has not.
        max_expansions: beginnings that exact reads for a bag set, at most.
        seconds: time that exact takes for a bag set, at most.
        temperature: for sample, below 1 keeps to the best sentences, above 1 dares more.
        top_k: for sample, choose among so many of the best at every token.
        nucleus: for sample, choose among the fewest that hold so much of the probability, 0 to 1.
        num_particles: for sample, beginnings side by side where there are too many sentences.
        seed: for sample, the same seed draws the same sentences.
        unknown: a word that the model does not know is an error, is dropped from its bag, shares
            what the model gives to unknown words, or is spelled by a model of characters.
        spelling_model: for spell, that model, such as models:/bookloom/3.
        any_order: the bags may follow each other in any order.
        gaps: function words that the model may add between the choices, at most.
        early_end: a sentence may end before its last bags, at so many nats for each.
        before: the text that the sentences go on from.
        out: name for tables of sentences and of refused sets, instead of printing them.
        why: name for a table and pictures of what each choice was held against.
        model: an MLflow model URI, such as models:/bookloom/1; by default the champion.
        as_json: print one JSON object.
    """
    settings = {name: value for name, value in locals().items() if name != "as_json"}
    from data.errors import UserMistake
    from tasks.generate import GenerateSettings
    from tasks.generate import generate as generate_sentences

    if strategy == "beam" and num_sentences > beam_width:
        raise UserMistake(
            f"--num-sentences {num_sentences} does not fit --beam-width {beam_width}.",
            "Ask for at most as many sentences as the beam is wide.",
        )
    if unknown == "spell" and spelling_model is None:
        raise UserMistake(
            "--unknown spell needs a model of characters.",
            "Name one with --spelling-model; bookloom run --unit character makes it.",
        )
    checked = validated(GenerateSettings, settings)
    result = generate_sentences(tracking_uri(), checked)
    print_answer(result, as_json, sentences_text)
    if result["refusals"]:
        sys.exit(MISTAKE_EXIT_CODE)


PLAY_EXAMPLES = examples("bookloom play", "bookloom play --model models:/bookloom/1 --port 8800")


def play(*, port: int = 8765, model: str | None = None) -> None:
    """Open a page on which one fills bags and sees sentences appear.

    Args:
        port: where the page is served, on this machine alone.
        model: an MLflow model URI, such as models:/bookloom/1; by default the champion.
    """
    from flows.play import play_app
    from flows.serving import serve
    from tasks.play import Game

    game = Game(tracking_uri(), model)
    serve(play_app(game), port, f"{game.model} to play with")


SERVE_MODEL_EXAMPLES = examples(
    "bookloom serve-model",
    "curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' "
    """-d '{"dataframe_split": {"columns": ["bags"], "data": [[[["the", "a"], ["king"]]]]}}'""",
)


def serve_model(*, port: int = 5001, model: str | None = None) -> None:
    """Serve the registered model over HTTP by MLflow's own scoring server: bags in, sentences out.

    POST /invocations takes one of MLflow's JSON forms, with a column bags and with params
    beam_width, frequency_discount and num_sentences. A mistake is answered 400 with a message.

    Args:
        port: where it is served, on this machine alone.
        model: an MLflow model URI, such as models:/bookloom/1; by default the champion.
    """
    from flows.serving import serve
    from tasks.seams.registry import read_bundle
    from tasks.seams.scoring_server import scoring_app

    uri, _ = read_bundle(tracking_uri(), model)
    serve(scoring_app(tracking_uri(), uri), port, f"{uri} served", "/invocations")
