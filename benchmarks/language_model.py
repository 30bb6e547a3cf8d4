"""Train bookloom's language model on three text files and measure it.

    python benchmarks/language_model.py --train F --valid F --test F --minutes 4 --json

Files hold white-space separated tokens, one sentence a line; every line end is a token too. Words
that stand once in the training file, and `<unk>`, are `_unknown_`. Each file counts as one book.
With --characters the files are raw text and every character is a token.

The model's size and its recipe follow from what is asked for (language_model_presets.py): a small,
fast one for so many epochs, a larger one for --minutes, a still larger one for --minutes on a GPU,
and one for characters. Options change single values: --hidden 512 --dropout 0.3. With --speed-only
nothing is evaluated.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.language_model_presets import COMMON, PRESETS
from models.batching import cut_lanes
from models.devices import keep_fp32_whole
from models.evaluation import Loss, evaluate, target_nats, total
from models.kneser_ney import KneserNey
from models.language_model import Architecture, Dropout, LanguageModel, usable_cutoffs
from models.mixture import best_weight, mix_nats
from models.recipe import NumberType, Recipe
from models.special_tokens import END, START, TokenIds
from models.speed import (
    fastest_number_type,
    freed_memory_kept,
    matrix_product_speed,
    operations_per_token,
    steps_within,
)
from models.training import Training
from models.vocabulary import Vocabulary
from tasks.seams.token_file import TokenFile
from tasks.seams.vocabulary_table import vocabulary_columns

VALIDATION_LANES = 16  # while training; in the end it is one
MANY_TOKENS = 1_500_000  # of training text, from which on --minutes takes the large model
ENCODED_AT_ONCE = 1 << 20


@freed_memory_kept()
def main() -> None:
    """Train, evaluate, print."""
    options = _options()
    torch.set_num_threads(options.threads)
    keep_fp32_whole()
    torch.manual_seed(options.seed)
    vocabulary = _vocabulary(options.train, options.characters)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/stream"
        _encode(options.train, path, vocabulary, options.characters)
        held_out = {}
        for name in ("valid", "test"):
            own = f"{folder}/{name}"
            _encode(getattr(options, name), own, vocabulary, options.characters)
            held_out[name] = np.fromfile(own, dtype=np.int32)
        stream = TokenFile(path)
        result = _measured(_with_preset(options, len(stream)), vocabulary, stream, held_out)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<28} {value}")


def _measured(
    options: argparse.Namespace,
    vocabulary: Vocabulary,
    stream: TokenFile,
    held_out: dict[str, TokenIds],
) -> dict[str, object]:
    started = time.monotonic()
    device = torch.device(options.device)
    model = _model(options, vocabulary).to(device)
    recipe = _recipe(options, options.number_type or fastest_number_type(device.type))
    validation = cut_lanes(held_out["valid"], VALIDATION_LANES)
    if options.minutes:
        left = 60.0 * options.minutes - (time.monotonic() - started)
        num_steps = steps_within(left, model, stream, validation, recipe)
        recipe = replace(recipe, num_steps=num_steps)
    if options.steps:
        recipe = replace(recipe, num_steps=options.steps)
    torch.manual_seed(options.seed)
    lanes = [] if options.speed_only else validation
    training = Training(model, stream, lanes, recipe, seed=options.seed)
    speeds, reached = [], None
    with tqdm(total=training.num_steps, unit="steps", file=sys.stderr, disable=None) as bar:
        for record in training.run():
            bar.update(record.step - bar.n)
            bar.set_postfix_str(f"{record.split} perplexity {record.loss.perplexity:.1f}")
            if record.tokens_per_second:
                speeds.append(record.tokens_per_second)
            elif options.verbose:
                print(
                    f"step {record.step} of {record.num_steps}, {record.elapsed_seconds:.0f} s: "
                    f"validation perplexity {record.loss.perplexity:.2f}",
                    file=sys.stderr,
                    flush=True,
                )
            wanted = options.until_perplexity or 0.0
            if record.split == "validation" and record.loss.perplexity <= wanted:
                reached = time.monotonic() - started
                break
    seconds = time.monotonic() - started
    if reached is not None:
        return {"seconds_to_perplexity": reached, "tokens_per_second": float(np.median(speeds))}
    result: dict[str, object] = {}
    if not options.speed_only:
        losses = {name: total(evaluate(model, [run])) for name, run in held_out.items()}
        result = {
            "test_perplexity": losses["test"].perplexity,
            "validation_perplexity": losses["valid"].perplexity,
        }
        if options.characters:
            result["test_bits_per_character"] = losses["test"].nats_per_token / np.log(2.0)
        if options.ngram:
            result |= _with_ngram(model, vocabulary, stream, held_out)
    return result | _costs(options, model, vocabulary, stream, training, speeds, seconds)


def _model(options: argparse.Namespace, vocabulary: Vocabulary) -> LanguageModel:
    model = LanguageModel(
        Architecture(
            num_types=len(vocabulary),
            embedding_width=options.embedding,
            hidden_width=options.hidden,
            num_layers=options.layers,
            cutoffs=usable_cutoffs(options.cutoffs, len(vocabulary)),
            tied=options.tied,
        )
    )
    model.softmax.start_from(vocabulary.counts)
    if options.word2vec_epochs:
        _begin_with_word2vec(model, vocabulary, options)
    return model


def _recipe(options: argparse.Namespace, number_type: NumberType) -> Recipe:
    return Recipe(
        num_lanes=options.lanes,
        window_length=options.window,
        num_epochs=options.epochs,
        learning_rate=options.rate,
        weight_decay=options.decay,
        dropout=Dropout(
            inputs=options.dropout,
            layers=options.dropout,
            output=options.dropout,
            types=options.type_dropout,
            recurrent=options.recurrent_dropout,
        ),
        number_type=number_type,
        validate_every_steps=options.validate_every or (100 if options.until_perplexity else None),
        log_every_steps=10 if options.speed_only else 50,
        moving_lanes=True,
    )


def _costs(
    options: argparse.Namespace,
    model: LanguageModel,
    vocabulary: Vocabulary,
    stream: TokenFile,
    training: Training,
    speeds: list[float],
    seconds: float,
) -> dict[str, object]:
    number_type = training.recipe.number_type
    speed = float(np.median(speeds))
    operations = speed * operations_per_token(model, vocabulary.counts)
    peak = matrix_product_speed(model.device, number_type)
    costs: dict[str, object] = {
        "tokens_per_second": speed,
        "seconds": seconds,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "preset": options.preset,
        "steps": training.num_steps,
        "vocabulary_size": len(vocabulary),
        "training_tokens": len(stream),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "number_type": number_type,
        "share_of_matrix_product_speed": operations / peak,
        "matrix_product_gflops": peak / 1e9,
    }
    if model.device.type == "cuda":
        costs["device"] = torch.cuda.get_device_name(model.device)
        costs["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(model.device)
    return costs


def _begin_with_word2vec(
    model: LanguageModel, vocabulary: Vocabulary, options: argparse.Namespace
) -> None:
    """Let the embeddings begin as word2vec's vectors, as large as they would have been drawn."""
    # Here alone: gensim and Prefect need not be where nobody asks for word2vec.
    from tasks.seams.word_vectors import train_word2vec

    known = train_word2vec(
        _Sentences(options.train, vocabulary, options.characters),
        width=options.embedding,
        window=5,
        num_epochs=options.word2vec_epochs,
        skip_gram=True,
        num_negative=5,
        seed=options.seed,
    )
    with torch.no_grad():
        weight = model.embedding.weight
        rms = weight.square().mean().sqrt()
        rows = [index for index, token in enumerate(vocabulary.tokens) if token in known]
        vectors = torch.from_numpy(np.array([known[vocabulary.tokens[row]] for row in rows]))
        vectors -= vectors.mean(dim=0)
        weight[rows] = (vectors * rms / vectors.square().mean().sqrt()).to(weight)


@dataclass(frozen=True)
class _Sentences:
    """A file's sentences with their `_end_`, read anew each time that they are gone through."""

    path: str
    vocabulary: Vocabulary
    characters: bool

    def __iter__(self) -> Iterator[list[str]]:
        for tokens in _tokens(self.path, self.characters):
            ids = [*self.vocabulary.encode(tokens), END]
            yield [self.vocabulary.tokens[token_id] for token_id in ids]


def _with_ngram(
    model: LanguageModel, vocabulary: Vocabulary, stream: TokenFile, held_out: dict[str, TokenIds]
) -> dict[str, object]:

    ngram = KneserNey.fit([stream[0 : len(stream)]], len(vocabulary), 5)
    lstm = {name: target_nats(model, [run])[0] for name, run in held_out.items()}
    other = {name: ngram.nats(run) for name, run in held_out.items()}
    weight = best_weight(lstm["valid"], other["valid"])
    mixed = mix_nats(lstm["test"], other["test"], weight)
    return {
        "ngram_test_perplexity": Loss(float(other["test"].sum()), len(mixed)).perplexity,
        "mixture_test_perplexity": Loss(float(mixed.sum()), len(mixed)).perplexity,
        "mixture_weight_of_lstm": weight,
    }


def _tokens(path: str, characters: bool) -> Iterator[list[str]]:
    """The tokens of each line; in characters, a line's end is a token of its own: `_end_`."""
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            yield list(line.rstrip("\n")) if characters else line.split()


def _vocabulary(path: str, characters: bool) -> Vocabulary:
    counts: Counter[str] = Counter()
    num_lines = 0
    for tokens in _tokens(path, characters):
        counts.update(tokens)
        num_lines += 1
    types = {"token": [*counts], "count": [*counts.values()], "num_books": [1] * len(counts)}
    columns = vocabulary_columns(
        pa.table(types),
        num_sentences=num_lines,
        num_runs=1,
        minimum_count=2,
        maximum_types=None,
        lower_case=False,
    )
    return Vocabulary.from_columns(pa.table(columns).to_pydict())


def _encode(path: str, target: str, vocabulary: Vocabulary, characters: bool) -> None:
    """Write a file's token ids, opened by `_start_`, as int32."""
    with open(target, "wb") as file:
        waiting = [START]
        for tokens in _tokens(path, characters):
            waiting += vocabulary.encode(tokens)
            waiting.append(END)
            if len(waiting) > ENCODED_AT_ONCE:
                file.write(np.array(waiting, dtype=np.int32).tobytes())
                waiting = []
        file.write(np.array(waiting, dtype=np.int32).tobytes())


def _with_preset(options: argparse.Namespace, num_tokens: int) -> argparse.Namespace:
    """The options, what was not given taken from the preset that fits."""
    fitting = "large" if num_tokens > MANY_TOKENS else "thorough"
    fitting = "gpu" if torch.device(options.device).type == "cuda" else fitting
    fitting = "characters" if options.characters else fitting if options.minutes else "fast"
    preset = options.preset or fitting
    given = {name: value for name, value in vars(options).items() if value is not None}
    values = {**vars(options), **COMMON, **PRESETS[preset], **given, "preset": preset}
    return argparse.Namespace(**values)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("train", "valid", "test"):
        parser.add_argument(f"--{name}", required=True, help="a text file")
    parser.add_argument("--minutes", type=float, help="time for training, validations included")
    parser.add_argument("--epochs", type=float, default=1.0, help="passes, without --minutes")
    parser.add_argument("--steps", type=int, help="steps, instead of both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--number-type", choices=["fp32", "bf16"], help="the faster one by default")
    parser.add_argument("--characters", action="store_true", help="every character is a token")
    parser.add_argument("--ngram", action="store_true", help="add Kneser-Ney and the mixture")
    parser.add_argument("--until-perplexity", type=float, help="stop when validation reaches it")
    parser.add_argument("--validate-every", type=int, help="steps; an epoch by default")
    parser.add_argument("--preset", choices=PRESETS, help="by default the one that fits")
    parser.add_argument("--embedding", type=int)
    parser.add_argument("--hidden", type=int)
    parser.add_argument("--word2vec-epochs", type=int, help="0 learns vectors from nothing")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--cutoffs", type=int, nargs="*")
    parser.add_argument("--tied", action=argparse.BooleanOptionalAction)
    parser.add_argument("--lanes", type=int)
    parser.add_argument("--window", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--decay", type=float, default=0.01)
    parser.add_argument("--dropout", type=float)
    parser.add_argument("--type-dropout", type=float)
    parser.add_argument("--recurrent-dropout", type=float)
    parser.add_argument("--speed-only", action="store_true", help="train, evaluate nothing")
    parser.add_argument("--verbose", action="store_true", help="print each validation")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    main()
