"""Method + model + options, all by name -> Reranker: what the command line and a server share."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from rankers import methods
from rankers.backends.load import SERVES, BackendName, LoadedBackend, ModelSpec, Need, load_backend
from rankers.backends.rendering import Renderer
from rankers.backends.sentence_load import own_prompts
from rankers.errors import DataError
from rankers.prompting.budget import Budget
from rankers.prompting.model_families import FAMILIES, Family, Trained, family_of
from rankers.reranker.reranker import Reranker

WINDOW = 20
"""The methods' own default."""

PLAIN_CONTEXT = 512
"""Prompt tokens of models that set no bound themselves (T5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSpec:
    """How a method is made, and what it asks of the engine."""

    make: Callable[..., Reranker]
    needs: Need
    options: tuple[str, ...] = ()
    """Which of the user's options it takes."""
    answer_tokens: Callable[[int], int] = lambda shown: 0
    """Passages shown -> room that a prompt must leave for its answer, what opens it included."""
    reasons: bool = False
    """Whether the model is to think aloud before it answers."""


def _letter(shown: int) -> int:
    return 8


def _ids(shown: int) -> int:
    return 8 * shown + 8


METHODS: Mapping[str, MethodSpec] = {
    "listwise": MethodSpec(
        make=methods.listwise_reranker,
        needs="text",
        options=("window", "step"),
        answer_tokens=_ids,
    ),
    "full": MethodSpec(make=methods.full_ranking_reranker, needs="text", answer_tokens=_ids),
    "first": MethodSpec(
        make=methods.first_reranker,
        needs="labels",
        options=("window", "step"),
        answer_tokens=_letter,
    ),
    "setwise": MethodSpec(
        make=methods.setwise_reranker,
        needs="text",
        options=("sort", "num_children", "k"),
        answer_tokens=_letter,
    ),
    "setwise-likelihood": MethodSpec(
        make=methods.setwise_likelihood_reranker,
        needs="labels",
        options=("sort", "num_children", "k"),
        answer_tokens=_letter,
    ),
    "pairwise": MethodSpec(
        make=methods.pairwise_reranker,
        needs="text",
        options=("sort", "k"),
        answer_tokens=_letter,
    ),
    "pairwise-likelihood": MethodSpec(
        make=methods.pairwise_likelihood_reranker,
        needs="labels",
        options=("sort", "k"),
        answer_tokens=_letter,
    ),
    "rank-r1": MethodSpec(
        make=methods.rank_r1_reranker,
        needs="text",
        options=("num_children", "k", "votes", "seed"),
        answer_tokens=lambda shown: 2048,
        reasons=True,
    ),
    "iranker": MethodSpec(
        make=methods.iranker_reranker,
        needs="text",
        answer_tokens=lambda shown: 1024,
        reasons=True,
    ),
    "pointwise": MethodSpec(make=methods.pointwise_reranker, needs="labels", answer_tokens=_letter),
    "query-likelihood": MethodSpec(
        make=methods.query_likelihood_reranker, needs="likelihood", answer_tokens=lambda shown: 64
    ),
    "e2rank": MethodSpec(
        make=methods.e2rank_reranker, needs="embeddings", options=("feedback", "passes")
    ),
    "bi-encoder": MethodSpec(
        make=methods.bi_encoder_reranker,
        needs="embeddings",
        options=("query_prompt", "passage_prompt"),
    ),
    "cross-encoder": MethodSpec(make=methods.cross_encoder_reranker, needs="pairs"),
}
"""What ``rlpost rerank --method`` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerSpec:
    """A reranker as the user names it. None is the default of the method, model or machine."""

    method: str
    model: ModelSpec
    backend: BackendName | None = None
    template: str | None = None
    """Key of ``rankers.prompting.model_families.FAMILIES``."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Of the method, None where not given; one that it does not take is refused."""
    depth: int = 100
    """Passages of a query at most."""
    passage_tokens: int | None = None
    """Longer passages are cut to this; default: what the family was trained on, if known."""


class Prompts(NamedTuple):
    """What stands before texts that are embedded."""

    query: str = ""
    passage: str = ""


class Built(NamedTuple):
    """A reranker with what was decided for it."""

    reranker: Reranker
    backend: BackendName
    template: str
    passage_tokens: int | None
    engine: LoadedBackend
    """What it asks."""
    prompts: Prompts = Prompts()
    """Of a method that embeds."""
    passage_prompt: str | None = None
    """The same for a passage, where it is not the model's own."""


class Decided(NamedTuple):
    """What follows from a specification before any model is loaded."""

    method: MethodSpec
    backend: BackendName
    template: str
    family: Family
    arguments: dict[str, object]


def decide(spec: RerankerSpec) -> Decided:
    """Check what goes together and settle the defaults, in milliseconds.

    Raises DataError, one sentence with the remedy, for whatever does not.
    """
    if spec.method not in METHODS:
        raise DataError(f"there is no method {spec.method!r}: use one of {', '.join(METHODS)}")
    method = METHODS[spec.method]
    options = given_options(spec, method)
    trained = spec.model.trained
    known = spec.template or (trained.template if trained else spec.model.trained_on)
    template, family = family_of(spec.model.name, folder=spec.model.base, template=known)
    if spec.method not in family.methods:
        raise DataError(
            f"{spec.model.name} is read with template {template!r}, which answers the methods "
            f"{', '.join(family.methods)}, not {spec.method}: choose one of them, or another "
            "--template"
        )
    backend = spec.backend or default_backend(spec.model, method)
    if method.needs not in SERVES[backend]:
        able = [name for name, needs in SERVES.items() if method.needs in needs]
        raise DataError(
            f"method {spec.method} does not run on backend {backend}: use {' or '.join(able)}"
        )
    arguments = {**family.methods[spec.method], **_as_trained(spec, method), **options}
    _make(spec, None, arguments)
    return Decided(method, backend, template, family, arguments)


def build_reranker(spec: RerankerSpec, loaded: LoadedBackend | None = None) -> Built:
    """Load the model, unless it is ``loaded``, and put the reranker together.

    Raises DataError, one sentence with the remedy, for whatever does not go together.
    """
    method, backend, template, family, arguments = decide(spec)
    trained = trained_as(spec)
    chat_options = {} if method.reasons else family.chat_options
    if trained is not None:
        chat_options = trained.chat_options
    engine = loaded or load_backend(spec.model, backend, method.needs, chat_options)
    tokenizer = engine.tokenizer
    passage_tokens = None
    if tokenizer is not None:
        shown = most_shown(method, arguments, spec.depth)
        known = family.passage_tokens if trained is None else trained.passage_tokens
        passage_tokens = spec.passage_tokens or known
        room = arguments.get("max_tokens", method.answer_tokens(shown))
        assert isinstance(room, int)
        arguments["budget"] = budget_for(
            tokenizer,
            room,
            passage_tokens,
            query_tokens=trained.query_tokens if trained else None,
        )
    elif spec.passage_tokens is not None:
        raise DataError(
            f"backend {backend} cannot cut passages to {spec.passage_tokens} tokens: give the "
            "endpoint's --tokenizer, or an encoder's --max-length"
        )
    return Built(
        reranker=_make(spec, engine.backend, arguments),
        backend=backend,
        template=template,
        passage_tokens=passage_tokens,
        engine=engine,
        prompts=_prompts(spec, method, arguments),
        passage_prompt=_given_prompt(arguments),
    )


def _make(spec: RerankerSpec, engine: object, arguments: Mapping[str, object]) -> Reranker:
    try:
        return METHODS[spec.method].make(engine, **arguments)
    except (ValueError, KeyError) as error:
        raise DataError(f"method {spec.method}: {error}") from error


def trained_as(spec: RerankerSpec) -> Trained | None:
    """How the model's prompts were written in training; None where another template is asked."""
    trained = spec.model.trained
    return trained if trained and spec.template in (None, trained.template) else None


def _as_trained(spec: RerankerSpec, method: MethodSpec) -> dict[str, object]:
    """Options that show as many passages, leave as much room to reason, and put the same words
    before texts that are embedded, as the training did."""
    trained = trained_as(spec)
    if trained is None:
        return {}
    if "passage_prompt" in method.options:
        prompts = {"query_prompt": trained.query_prompt, "passage_prompt": trained.passage_prompt}
        return {name: prompt for name, prompt in prompts.items() if prompt is not None}
    options: dict[str, object] = {}
    if method.reasons and trained.answer_tokens is not None:
        options["max_tokens"] = trained.answer_tokens
    if trained.candidates is not None and "num_children" in method.options:
        options["num_children"] = max(1, trained.candidates - 1)
    if trained.candidates is not None and "window" in method.options:
        window = trained.candidates
        usual = FAMILIES[trained.template].methods.get(spec.method, {})
        step = usual["step"] if usual.get("window") == window else max(1, window // 2)
        options |= {"window": window, "step": step}
    return options


def _given_prompt(arguments: Mapping[str, object]) -> str | None:
    given = arguments.get("passage_prompt")
    return None if given is None else str(given)


def _prompts(spec: RerankerSpec, method: MethodSpec, arguments: Mapping[str, object]) -> Prompts:
    if method.needs != "embeddings":
        return Prompts()
    query, passage = own_prompts(Path(spec.model.weights))
    return Prompts(
        str(arguments.get("query_prompt", query)), str(arguments.get("passage_prompt", passage))
    )


def given_options(spec: RerankerSpec, method: MethodSpec) -> dict[str, object]:
    """The options that the user gave. Raises DataError where the method does not take one."""
    given = {name: value for name, value in spec.options.items() if value is not None}
    if "seed" not in method.options:
        given.pop("seed", None)  # which everybody passes, and most methods do not need
    for name in given:
        if name not in method.options:
            takes = ", ".join(method.options) or "none"
            raise DataError(
                f"method {spec.method} has no option {name.replace('_', '-')}; it takes {takes}"
            )
    return given


def most_shown(method: MethodSpec, options: Mapping[str, object], depth: int) -> int:
    """Passages in one prompt at most, for methods whose answer grows with them."""
    window = options.get("window", WINDOW) if "window" in method.options else depth
    assert isinstance(window, int)
    return min(window, depth)


def default_backend(model: ModelSpec, method: MethodSpec) -> BackendName:
    """The fastest installed backend that can run the model."""
    folder = Path(model.weights)
    if method.needs == "pairs" or (folder / "modules.json").is_file():
        return "sentence-transformers"
    if model.endpoint:
        return "openai"
    if method.needs == "embeddings" or find_spec("vllm") is None or encoder_decoder(folder):
        return "hf"
    return "vllm"


def encoder_decoder(folder: Path) -> bool:
    """Whether the model in ``folder`` says that it is one; False where there is no config."""
    config = folder / "config.json"
    return config.is_file() and bool(
        json.loads(config.read_text("utf-8")).get("is_encoder_decoder")
    )


def budget_for(
    tokenizer: Renderer,
    answer_tokens: int,
    passage_tokens: int | None,
    *,
    query_tokens: int | None = None,
) -> Budget:
    """The budget that leaves ``answer_tokens`` of the context. DataError where nothing is left."""
    context = tokenizer.context or PLAIN_CONTEXT
    if context <= answer_tokens:
        raise DataError(
            f"the model reads {context} tokens and the answer may take {answer_tokens}: take a "
            "model with a longer context, or a smaller window"
        )
    return Budget(
        tokenizer=tokenizer,
        max_prompt_tokens=context - answer_tokens,
        max_passage_tokens=passage_tokens,
        max_query_tokens=query_tokens,
    )
