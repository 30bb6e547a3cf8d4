"""A bundle as bytes: what comes back is what went in, and what is no bundle is refused."""

import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from models.bundle import Bundle
from models.kneser_ney import KneserNey
from models.language_model import Architecture, LanguageModel
from models.packing import METADATA_KEY
from models.picking import Picker
from models.sentence_space import BagSpec
from models.special_tokens import END, SPECIAL_TOKENS, START
from models.vocabulary import Vocabulary

WORDS = ("the", ".", "thou", "été", "zounds", "'t is", "\N{GRINNING FACE}")
LANGUAGE = {"en": {"abbreviations": ["mr", "dr"], "collocations": [["st", "paul"]], "ratio": 0.1}}


NGRAM = KneserNey.fit([np.array([START, 4, 5, END, 4, 10, END], np.int32)], 11, 3)


def make_bundle(seed: int = 1) -> Bundle:
    tokens = (*SPECIAL_TOKENS, *WORDS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LanguageModel(Architecture(len(tokens), 3, 5, 2, (6, 9)))
    vocabulary = Vocabulary(tokens, (0, 2, 9, 4, 8, 7, 5, 5, 2, 1, 1), lower_case=True)
    return Bundle(model.eval(), vocabulary, "_end_", LANGUAGE, frequency_discount=0.8)


CONTENT = make_bundle().to_bytes()


def outputs(bundle: Bundle) -> list[torch.Tensor]:
    asked_NK = torch.arange(len(bundle.vocabulary)).expand(2, -1)
    log_probs_NK, state = bundle.model.step(
        torch.tensor([START, 7]), bundle.model.initial_state(2), asked_NK
    )
    again_NK, state = bundle.model.step(torch.tensor([END, 10]), state, asked_NK)
    return [log_probs_NK, again_NK, *state]


def test_what_comes_back_is_what_went_in_bit_for_bit() -> None:
    bundle = make_bundle()
    again = Bundle.from_bytes(bundle.to_bytes())
    weights, weights_again = bundle.model.state_dict(), again.model.state_dict()
    assert list(weights) == list(weights_again)
    for name, weight in weights.items():
        assert weight.dtype == weights_again[name].dtype
        assert weight.numpy().tobytes() == weights_again[name].numpy().tobytes(), name
    assert again.model.architecture == bundle.model.architecture
    assert again.vocabulary == bundle.vocabulary
    assert (again.opening, again.language) == (bundle.opening, bundle.language)
    assert again.frequency_discount == bundle.frequency_discount
    assert again.opening_id == END
    assert again.digest() == bundle.digest()
    for output, output_again in zip(outputs(bundle), outputs(again), strict=True):
        assert torch.equal(output, output_again)


def test_whether_sections_open_is_kept_where_they_do() -> None:
    bundle = make_bundle()
    opening = replace(bundle, sections_open=True)
    assert Bundle.from_bytes(opening.to_bytes()).sections_open
    assert not Bundle.from_bytes(CONTENT).sections_open
    assert b"sections_open" not in CONTENT, "models without it keep their digests"
    assert opening.digest() != bundle.digest()


def test_it_comes_back_ready_to_use_and_picks_the_same_sentences() -> None:
    bundle = make_bundle()
    again = Bundle.from_bytes(bundle.to_bytes())
    assert not again.model.training, "dropout is off"
    bag_sets = [[[4, 5], [6, 7, 8]], [[9, 10], [4], [5, 6]]]
    specs = [BagSpec.of_words(bags) for bags in bag_sets]
    picked = [list(Picker(b).beam(specs, beam_width=6, num_sentences=3)) for b in (bundle, again)]
    assert picked[0] == picked[1]
    assert [len(found.sentences) for found in picked[0]] == [3, 3]


def test_the_same_bundle_gives_the_same_bytes() -> None:
    assert make_bundle().to_bytes() == CONTENT
    assert Bundle.from_bytes(CONTENT).to_bytes() == CONTENT
    assert make_bundle(seed=2).to_bytes() != CONTENT


def test_reading_leaves_the_callers_random_state_as_it_was() -> None:
    before = torch.get_rng_state()
    Bundle.from_bytes(CONTENT)
    assert torch.equal(torch.get_rng_state(), before)


def with_another_weight(bundle: Bundle) -> Bundle:
    with torch.no_grad():
        weight = bundle.model.lstm.weight_hh_l1[2, 3]
        weight.copy_(torch.nextafter(weight, torch.tensor(9.0)))  # by its last bit
    return bundle


def with_vocabulary(**changes: Any) -> Callable[[Bundle], Bundle]:
    return lambda bundle: replace(bundle, vocabulary=replace(bundle.vocabulary, **changes))


@pytest.mark.parametrize(
    "change",
    [
        with_another_weight,
        with_vocabulary(tokens=(*SPECIAL_TOKENS, *WORDS[:-1], "zounds!")),
        with_vocabulary(tokens=(*SPECIAL_TOKENS, *WORDS[1:], WORDS[0])),
        with_vocabulary(counts=(0, 2, 9, 4, 8, 7, 5, 5, 2, 1, 2)),
        with_vocabulary(lower_case=False),
        with_vocabulary(unit="character"),
        with_vocabulary(written=(*SPECIAL_TOKENS, *WORDS[:-1], "Zounds")),
        lambda bundle: replace(bundle, opening="_start_"),
        lambda bundle: replace(bundle, frequency_discount=0.9),
        lambda bundle: replace(bundle, lstm_weight=0.9),
        lambda bundle: replace(bundle, ngram=NGRAM),
        lambda bundle: replace(bundle, language={"en": {**LANGUAGE["en"], "ratio": 0.2}}),
    ],
    ids=[
        "weight",
        "token",
        "order of tokens",
        "count",
        "case",
        "unit",
        "written",
        "opening",
        "discount",
        "weight",
        "n-gram",
        "language",
    ],
)
def test_the_digest_changes_with_everything_that_a_bundle_holds(
    change: Callable[[Bundle], Bundle],
) -> None:
    changed = change(make_bundle())
    assert changed.digest() != make_bundle().digest()
    assert changed.to_bytes() != CONTENT
    assert Bundle.from_bytes(changed.to_bytes()).digest() == changed.digest()


def test_the_digest_is_not_over_the_order_in_which_settings_stand() -> None:
    language = {"b": 1, "a": 2}
    turned = {"a": 2, "b": 1}
    first, second = (replace(make_bundle(), language=value) for value in (language, turned))
    assert first.digest() == second.digest()
    assert first.to_bytes() == second.to_bytes()


def test_the_bytes_are_a_safetensors_file_and_nothing_else() -> None:
    """Parsed by hand: a length, a JSON header, and the tensors' values end to end."""
    [length] = struct.unpack("<Q", CONTENT[:8])
    header = json.loads(CONTENT[8 : 8 + length])
    metadata = header.pop("__metadata__")
    assert list(metadata) == [METADATA_KEY]
    assert json.loads(metadata[METADATA_KEY])["tokens"] == [*SPECIAL_TOKENS, *WORDS]
    values = CONTENT[8 + length :]
    weights = make_bundle().model.state_dict()
    assert header.keys() == weights.keys()
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        assert values[first:last] == weights[name].numpy().tobytes()
    assert len(values) == sum(4 * weight.numel() for weight in weights.values())


class Bomb:
    """What unpickles it runs code: it raises an error that nothing here catches."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('unpickled')",)


def test_nothing_is_unpickled() -> None:
    content = pickle.dumps(Bomb())
    with pytest.raises(SystemExit):
        pickle.loads(content)
    header = json.dumps({"__metadata__": {METADATA_KEY: content.hex()}}).encode()
    for damaged in (
        content,
        struct.pack("<Q", len(content)) + content,
        struct.pack("<Q", len(header)) + header + content,
        CONTENT + content,
        content + CONTENT,
    ):
        with pytest.raises(ValueError, match="this is no bundle of bookloom"):
            Bundle.from_bytes(damaged)


def test_nothing_of_a_bundle_goes_through_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("pickled")

    for module, name in [(pickle, n) for n in ("dump", "dumps", "load", "loads")] + [
        (torch, "load"),
        (torch, "save"),
    ]:
        monkeypatch.setattr(module, name, refuse)
    assert Bundle.from_bytes(make_bundle().to_bytes()).to_bytes() == CONTENT


HEADER_END = 8 + struct.unpack("<Q", CONTENT[:8])[0]


@settings(deadline=None)
@given(st.integers(0, len(CONTENT) - 1))
@example(0)
@example(7)
@example(8)
@example(HEADER_END - 1)
@example(HEADER_END)
@example(HEADER_END + 1)
@example(len(CONTENT) - 1)
def test_truncated_bytes_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="this is no bundle of bookloom"):
        Bundle.from_bytes(CONTENT[:length])


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_are_refused(content: bytes, framed: bool) -> None:
    """Framed: the bytes stand where a safetensors file has its header."""
    if framed:
        content = struct.pack("<Q", len(content)) + content
    with pytest.raises(ValueError, match="this is no bundle of bookloom"):
        Bundle.from_bytes(content)


@settings(deadline=None)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_refused_or_changes_the_digest(place: int, difference: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[place] ^= difference
    message = ""
    try:
        digest = Bundle.from_bytes(bytes(damaged)).digest()
    except ValueError as error:
        digest, message = "", str(error)
    padding = CONTENT[place : place + 1].isspace()  # after the header, to a multiple of 8
    assert "this is no bundle" in message or padding or digest != make_bundle().digest()


def rewritten(**changes: Any) -> bytes:
    """The bundle's file with other metadata; `...` takes a key away."""
    bundle = make_bundle()
    metadata = json.loads(bundle._metadata()) | changes
    metadata = {key: value for key, value in metadata.items() if value is not ...}
    return save(bundle.model.state_dict(), {METADATA_KEY: json.dumps(metadata)})


ARCHITECTURE = make_bundle().model.architecture.as_json()


def test_rewriting_without_changes_is_harmless() -> None:
    assert Bundle.from_bytes(rewritten()).digest() == make_bundle().digest()


@pytest.mark.parametrize(
    "content",
    [
        *(rewritten(**{key: ...}) for key in json.loads(make_bundle()._metadata())),
        *(rewritten(architecture=value) for value in (None, [], "wide", {}, 7)),
        rewritten(architecture=ARCHITECTURE | {"hidden_width": 6}),
        rewritten(architecture=ARCHITECTURE | {"num_layers": 1}),
        rewritten(architecture=ARCHITECTURE | {"num_layers": 3}),
        rewritten(architecture=ARCHITECTURE | {"num_layers": 0}),
        rewritten(architecture=ARCHITECTURE | {"hidden_width": -5}),
        rewritten(architecture=ARCHITECTURE | {"hidden_width": 2.5}),
        rewritten(architecture=ARCHITECTURE | {"cutoffs": [9, 6]}),
        rewritten(architecture=ARCHITECTURE | {"cutoffs": None}),
        rewritten(architecture=ARCHITECTURE | {"cutoffs": ["6", "9"]}),
        rewritten(architecture=ARCHITECTURE | {"colour": "red"}),
        rewritten(tokens=[*SPECIAL_TOKENS, "the"]),
        rewritten(counts=[1, 2, 3]),
        rewritten(tokens=None),
        rewritten(unit="syllable"),
        rewritten(opening="_nowhere_"),
        rewritten(opening=None),
        *(
            save(make_bundle().model.state_dict(), metadata)
            for metadata in (
                None,
                {},
                {"format": "pt"},
                {METADATA_KEY: ""},
                {METADATA_KEY: "[]"},
                {METADATA_KEY: '"x"'},
                {METADATA_KEY: "null"},
                {METADATA_KEY: "[" * 5000},
            )
        ),
    ],
)
def test_foreign_files_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="this is no bundle of bookloom"):
        Bundle.from_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("embedding.weight"),
        lambda tensors: tensors.update(stranger=torch.zeros(2)),
        lambda tensors: tensors.update({"embedding.weight": torch.zeros(4, 3)}),
        lambda tensors: tensors.clear(),
    ],
    ids=["missing", "one too many", "another shape", "none"],
)
def test_tensors_that_do_not_fit_the_settings_are_refused(
    change: Callable[[dict[str, torch.Tensor]], object],
) -> None:
    tensors = load(CONTENT)
    change(tensors)
    content = save(tensors, {METADATA_KEY: make_bundle()._metadata()})
    with pytest.raises(ValueError, match="this is no bundle of bookloom"):
        Bundle.from_bytes(content)


def test_every_special_token_can_open() -> None:
    for index, token in enumerate(SPECIAL_TOKENS):
        assert replace(make_bundle(), opening=token).opening_id == index
