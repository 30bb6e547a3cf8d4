"""The command line: it parses, calls flows and task cores, and prints.

With --json a command prints one JSON object on standard output and nothing else there.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import cyclopts
import pydantic
from cyclopts import App, Parameter

from data.errors import UserMistake
from flows import answers
from flows.environment import home_store, prepare, tracking_uri

MISTAKE_EXIT_CODE = 2
AsJson = Annotated[bool, Parameter(name="--json", negative="")]


def _examples(*lines: str) -> str:
    """The end of a command's help. Every line stands by itself, as typed."""
    return "\n\n".join(["Examples:", *(f"    {line}" for line in lines)])


app = App(
    name="bookloom",
    help="Books in; a language model, sentences picked from bags of words, and a map out.",
    version="0.1.0",
    result_action="return_value",
)


@app.command(
    help_epilogue=_examples(
        "bookloom run",
        "bookloom run --deployment standard",
        'bookloom run --books my-novel.txt "shelf/*.txt"',
        "bookloom run --unit character --minutes 10",
        "bookloom run --books my-novel.txt --warm-start newest",
    )
)
def run(
    *,
    deployment: str = "quick",
    books: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    unit: Literal["word", "character"] | None = None,
    minutes: float | None = None,
    warm_start: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Run the pipeline: read, tokenise, train, pick sentences from bags, draw the map.

    Args:
        deployment: whose settings in prefect.yaml to use.
        books: text files, folders or patterns to read in place of the deployment's books.
        unit: what a token is, in place of the deployment's choice.
        minutes: how long to train the language model, in place of the deployment's epochs.
        warm_start: a model to go on training from, such as models:/bookloom/1, or newest.
        as_json: print one JSON object.
    """
    from flows.deployments import deployment_settings
    from flows.running import run_pipeline
    from flows.summary import summary_text

    settings = deployment_settings(deployment)
    for step, name, value in (
        ("read", "books", books),
        ("tokenise", "unit", unit),
        ("train", "minutes", minutes),
        ("warm_start", "model", warm_start),
    ):
        if value is not None:
            settings = {**settings, step: {**settings.get(step, {}), name: value}}
    summary = run_pipeline(settings)
    _print(summary, as_json, summary_text)


@app.command(
    help_epilogue=_examples(
        "bookloom generate --bags examples",
        "bookloom generate --bags my-bags.txt --num-sentences 5 --frequency-discount 0.5",
        "bookloom generate --bags my-bags.txt --strategy exact --seconds 60",
    )
)
def generate(
    *,
    bags: str,
    strategy: Literal["greedy", "beam", "exact"] = "beam",
    beam_width: int = 64,
    max_expansions: int = 200_000,
    seconds: float | None = None,
    frequency_discount: float = 1.0,
    num_sentences: int = 1,
    unknown: Literal["error", "drop"] = "error",
    model: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Pick one word from each bag so that they make a sentence.

    A bag file has one set a line: bags parted by |, words by spaces or commas. A line may also be
    JSON: {"bags": [["hello", "hi"], ["world"]]}.

    Args:
        bags: a file of bag sets, or `examples` for those that come with bookloom.
        strategy: greedy takes the best word at each step; beam keeps the best beginnings; exact
            goes on until it is proven that there is none better.
        beam_width: beginnings kept by beam.
        max_expansions: beginnings that exact reads for a bag set, at most.
        seconds: time that exact takes for a bag set, at most.
        frequency_discount: 0 for the most probable sentence, 1 to discount common words.
        num_sentences: sentences for each bag set.
        unknown: a word that the model does not know is an error, or is dropped from its bag.
        model: an MLflow model URI, such as models:/bookloom/1; by default the newest model.
        as_json: print one JSON object.
    """
    from tasks.pick import PickSettings
    from tasks.pick import generate as generate_sentences

    if not 1 <= num_sentences <= beam_width and strategy == "beam":
        raise UserMistake(
            f"--num-sentences {num_sentences} does not fit --beam-width {beam_width}.",
            "Ask for at least one sentence and at most as many as the beam is wide.",
        )
    settings = _validated(
        PickSettings,
        {
            "bags": bags,
            "strategy": strategy,
            "beam_width": beam_width,
            "max_expansions": max_expansions,
            "seconds": seconds,
            "frequency_discount": frequency_discount,
            "num_sentences": num_sentences,
            "unknown": unknown,
        },
    )
    _print(generate_sentences(tracking_uri(), model, settings), as_json, _sentences_text)


@app.command(
    help_epilogue=_examples(
        'bookloom score --text "To be, or not to be."',
    )
)
def score(*, text: str, model: str | None = None, as_json: AsJson = False) -> None:
    """Log-probability, in nats, of each token of a text.

    Args:
        text: the text; it is cut into sentences and tokens as books were.
        model: an MLflow model URI, such as models:/bookloom/1; by default the newest model.
        as_json: print one JSON object.
    """
    from tasks.score import score as score_text

    _print(score_text(tracking_uri(), model, text), as_json, _score_text)


@app.command(
    help_epilogue=_examples(
        'bookloom trace --text "To be, or not to be."',
        'bookloom trace --text "Now is the winter of our discontent." --out winter --json',
    )
)
def trace(
    *, text: str, out: str = "trace", model: str | None = None, as_json: AsJson = False
) -> None:
    """What the model expects, and what it carries along, at each token of a text.

    Writes a table, one row a step with the whole state, and a picture of it.

    Args:
        text: the text; it is cut into sentences and words as books are.
        out: the files' name, to which .parquet and .png are added.
        model: an MLflow model URI, such as models:/bookloom/1; by default the newest model.
        as_json: print one JSON object.
    """
    from tasks.trace import trace as trace_text

    _print(trace_text(tracking_uri(), model, text, out), as_json, answers.trace_text)


@app.command(
    help_epilogue=_examples(
        "bookloom write",
        'bookloom write --prompt "My lord, the king" --num-tokens 60 --nucleus 0.9 --seed 7',
    )
)
def write(
    *,
    prompt: str = "",
    num_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    nucleus: float | None = None,
    seed: int = 1,
    model: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Go on in the author's style, and say what of it is copied word for word.

    Args:
        prompt: the text to go on from; its last sentence is left open.
        num_tokens: tokens to write: words, punctuation and sentence ends.
        temperature: below 1 keeps to what is probable, above 1 dares more.
        top_k: choose among so many of the most probable tokens.
        nucleus: choose among the fewest tokens that hold so much of the probability, 0 to 1.
        seed: the same seed writes the same text.
        model: an MLflow model URI, such as models:/bookloom/1; by default the newest model.
        as_json: print one JSON object.
    """
    from tasks.write import WriteSettings
    from tasks.write import write as write_text

    settings = _validated(
        WriteSettings,
        {
            "prompt": prompt,
            "num_tokens": num_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "nucleus": nucleus,
            "seed": seed,
        },
    )
    result = write_text(tracking_uri(), home_store(), model, settings)
    _print(result, as_json, answers.written_text)


@app.command(
    help_epilogue=_examples(
        "bookloom export --out bookloom.onnx",
    )
)
def export(*, out: str, model: str | None = None, as_json: AsJson = False) -> None:
    """Write the model as an ONNX file: tokens and state in, log-probabilities and state out.

    Args:
        out: the file to write.
        model: an MLflow model URI, such as models:/bookloom/1; by default the newest model.
        as_json: print one JSON object.
    """
    from tasks.export import export as export_model

    _print(export_model(tracking_uri(), model, out), as_json, answers.export_text)


@app.command(
    help_epilogue=_examples(
        "bookloom lineage bag_sentences",
    )
)
def lineage(table: str, /, *, as_json: AsJson = False) -> None:
    """What a table came from, back to the books.

    Args:
        table: a table's name, meaning that of the newest run, or a path in the store.
        as_json: print one JSON object.
    """
    from tasks.lineage import lineage as trace_lineage

    _print(trace_lineage(home_store(), table), as_json, lambda tree: "\n".join(_tree_lines(tree)))


def main() -> None:
    """The `bookloom` command. Exit codes: 0 done, 2 a mistake that the message says how to mend."""
    prepare()
    # Ours alone: Prefect leaves its own handlers out where the root logger has one.
    logger = logging.getLogger("bookloom")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.setLevel(logging.INFO)
    arguments = sys.argv[1:]
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        _fail(str(error).strip(), "See bookloom --help, or bookloom COMMAND --help.", arguments)
    except UserMistake as error:
        _fail(error.message, error.remedy, arguments)
    except KeyboardInterrupt:
        _fail("Stopped.", "What was finished is kept: run again to go on.", arguments)


def _validated(
    model: "type[pydantic.BaseModel]", values: Mapping[str, Any], place: str = ""
) -> Any:
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        raise settings_mistake(error, model, place) from error


def settings_mistake(
    error: pydantic.ValidationError, model: "type[pydantic.BaseModel]", place: str
) -> UserMistake:
    """What is wrong with settings, in a user's words; an unknown name with its nearest ones."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    if first["type"] != "extra_forbidden":
        message = f"{place}{name} is {first.get('input')!r}: {first['msg']}."
        return UserMistake(message, "Correct the value.")
    owner: Any = model
    for part in path[:-1]:
        owner = owner.model_fields[part].annotation
    known = list(owner.model_fields)
    nearest = get_close_matches(path[-1], known, n=3) or known
    return UserMistake(f"{place}{name} is no setting.", f"Did you mean {', '.join(nearest)}?")


def _print(result: Mapping[str, Any], as_json: bool, as_text: Callable[[Any], str]) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))
    else:
        print(as_text(result))


def _fail(message: str, remedy: str, arguments: list[str]) -> None:
    if "--json" in arguments:
        print(json.dumps({"error": {"message": message, "remedy": remedy}}, ensure_ascii=False))
    else:
        print(f"bookloom: {message}\n  {remedy}", file=sys.stderr)
    sys.exit(MISTAKE_EXIT_CODE)


def _sentences_text(result: Mapping[str, Any]) -> str:
    lines = [f"model {result['model']}"]
    for bag_set in result["bag_sets"]:
        for sentence in bag_set["sentences"]:
            lines.append(
                f"{bag_set['bag_set_id']:>6} {sentence['rank']:>3}  {sentence['sentence']:<60}"
                f"  log p {sentence['log_probability_nats']:9.3f}  score {sentence['score']:9.3f}"
                f"{_proof(sentence)}"
            )
    return "\n".join(lines)


def _proof(sentence: Mapping[str, Any]) -> str:
    if sentence["proven_best"]:
        return "  proven best"
    if sentence["rank"] > 1 or sentence["score_bound"] is None:
        return ""
    return f"  at most {sentence['score_bound'] - sentence['score']:.3f} from the best"


def _score_text(result: Mapping[str, Any]) -> str:
    from tasks.seams.report import visible

    lines = [f"model {result['model']}"]
    lines += [f"{token['nats']:10.3f}  {visible(token['token'])}" for token in result["tokens"]]
    return "\n".join([*lines, f"{result['total_nats']:10.3f}  total nats"])


def _tree_lines(tree: Mapping[str, Any], depth: int = 0) -> list[str]:
    pad = "  " * depth
    lines = [
        f"{pad}{tree['table']}  {tree['digest'][:16]}  made by {tree['step']}",
        f"{pad}    {tree['path']}",
        f"{pad}    settings {json.dumps(tree['settings'], ensure_ascii=False)}",
        f"{pad}    code {tree['code_digest'][:16]}  lock {tree['lock_digest'][:16]}"
        f"  commit {tree['git_commit'][:12]}  MLflow run {tree['mlflow_run_id']}",
    ]
    lines += [f"{pad}    source {name}  {digest[:16]}" for name, digest in tree["sources"].items()]
    for parent in tree["inputs"]:
        lines += _tree_lines(parent, depth + 1)
    return lines
