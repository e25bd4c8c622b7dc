"""Which prompts a reranking model was made for, by model family.

The wrong template costs little code and most of the quality: a Qwen3-Reranker without its own
prompt scores nearly at random. So a model that no family recognises is refused, not guessed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rankers.errors import DataError

ADAPTER_CONFIG = "adapter_config.json"
EMBEDDER_FILES = ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json")

Kind = Literal["encoder", "seq2seq", "causal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models that read the same prompts."""

    about: str
    """What belongs to it, and whose prompts these are."""
    methods: Mapping[str, Mapping[str, object]]
    """Method of ``rankers.methods.by_name.METHODS`` -> the options of it that the model was trained
    with.
    """
    names: str = ""
    """Regular expression that the names of its models match, whatever the case."""
    kinds: tuple[Kind, ...] = ("causal",)
    """What its models are by their files, which go before any name."""
    chat_options: Mapping[str, object] = field(default_factory=dict)
    """Arguments of the model's chat template."""
    passage_tokens: int | None = None
    """Length to which passages were cut in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What shaped the prompts that a model was trained on, where its run tells."""

    template: str
    """Key of ``FAMILIES``."""
    chat_options: Mapping[str, object] = field(default_factory=dict)
    """Arguments of the model's chat template."""
    passage_tokens: int | None = None
    query_tokens: int | None = None
    """Lengths to which the texts were cut."""
    candidates: int | None = None
    """Passages of a prompt."""
    query_prompt: str | None = None
    passage_prompt: str | None = None
    """What stood before texts that were embedded, where it was not the model's own."""
    answer_tokens: int | None = None
    """Tokens of an answer at most."""


SILENT: Mapping[str, object] = {"enable_thinking": False}
"""Options of a chat template for answers without reasoning."""
_ASKED = {
    "setwise": {},
    "setwise-likelihood": {},
    "pairwise": {},
    "pairwise-likelihood": {},
    "pointwise": {"question": "yes_no"},
    "query-likelihood": {},
}

FAMILIES: Mapping[str, Family] = {
    "compact": Family(
        about="tiny-ranker and what `rlpost train` makes of it",
        methods={
            "listwise": {"template": "compact", "window": 5, "step": 3},
            "full": {"template": "compact"},
        },
        names=r"(?<![a-z])tiny-ranker",
        chat_options=SILENT,
        passage_tokens=32,
    ),
    "rank_zephyr": Family(
        about="RankZephyr, RankVicuna and their relatives (arXiv 2312.02724): one turn, [1] > [2]",
        methods={"listwise": {"template": "rank_zephyr"}, "full": {"template": "rank_zephyr"}},
        names=r"(?<![a-z])rank[-_]?(zephyr|vicuna|mistral|qwen|llama)",
        chat_options=SILENT,
        passage_tokens=400,
    ),
    "rankgpt": Family(
        about="any chat model, with RankGPT's prompt (arXiv 2304.09542): one turn per passage",
        methods={"listwise": {"template": "rankgpt"}, "full": {"template": "rankgpt"}},
        chat_options=SILENT,
    ),
    "first": Family(
        about="FIRST (arXiv 2406.15657): letters, ranked by the first token's log-probabilities",
        methods={"first": {}},
        names=r"^first[-_]?(mistral|qwen|zephyr|model)",
        chat_options=SILENT,
        passage_tokens=400,
    ),
    "first_compact": Family(
        about="what `rlpost distill` makes of tiny-ranker: numbers, ranked by the first token's",
        methods={"first": {"template": "compact", "window": 5, "step": 3}},
        passage_tokens=32,
    ),
    "rank_r1": Family(
        about="Rank-R1 v0.1 (arXiv 2503.06034): think, then [3]",
        methods={"rank-r1": {"version": "0.1"}},
        names=r"(?<![a-z])rank[-_]?r1(?!.*(?<![\d.])v?0[._]2(?!\d))",
        passage_tokens=512,
    ),
    "rank_r1_0.2": Family(
        about="Rank-R1 v0.2: the question in three steps",
        methods={"rank-r1": {"version": "0.2"}},
        names=r"(?<![a-z])rank[-_]?r1.*(?<![\d.])v?0[._]2(?!\d)",
        passage_tokens=1024,
    ),
    "iranker": Family(
        about="IRanker (arXiv 2506.21638): eliminates the least relevant passage",
        methods={"iranker": {}},
        names=r"(?<![a-z])iranker",
    ),
    "e2rank": Family(
        about="E2Rank (arXiv 2510.22733): a listwise prompt as the query's embedding",
        methods={"e2rank": {}, "bi-encoder": {}},
        names=r"(?<![a-z])e2[-_]?rank",
        kinds=("encoder", "causal"),
        chat_options=SILENT,
    ),
    "qwen3_reranker": Family(
        about="Qwen3-Reranker (arXiv 2506.05176): yes or no about one passage",
        methods={"pointwise": {"question": "qwen3_reranker"}},
        names=r"(?<![a-z])qwen3[-_]reranker",
    ),
    "mono_t5": Family(
        about="monoT5 (arXiv 2003.06713): true or false about one passage",
        methods={"pointwise": {"question": "mono_t5"}},
        names=r"(?<![a-z])mono[-_]?t5",
        kinds=("seq2seq",),
    ),
    "duo_t5": Family(
        about="duoT5 (arXiv 2101.05667): true or false about a pair",
        methods={"pairwise-likelihood": {"question": "duo_t5"}},
        names=r"(?<![a-z])duo[-_]?t5",
        kinds=("seq2seq",),
    ),
    "t5": Family(
        about="FLAN-T5 and other instructed encoder-decoders: ielab/llm-rankers' questions",
        methods=_ASKED,
        names=r"flan[-_](t5|ul2)",
        kinds=("seq2seq",),
    ),
    "chat": Family(
        about="any instructed chat model, zero-shot, with the prompts of each method's paper",
        methods={
            **_ASKED,
            "listwise": {"template": "rank_zephyr"},
            "full": {"template": "rank_zephyr"},
            "first": {},
            "rank-r1": {"version": "0.1"},
            "iranker": {},
        },
        names=r"[-_](instruct|chat|it)(?![a-z])|^(gpt-([345]|oss)|o[134]|chatgpt)(?![a-z0-9])",
        kinds=("causal", "seq2seq"),
        chat_options=SILENT,
    ),
    "encoder": Family(
        about="sentence-transformers' bi-encoders, with their own prompts, and cross-encoders",
        kinds=("encoder",),
        methods={"bi-encoder": {}, "cross-encoder": {}, "e2rank": {}},
    ),
}


def family_of(
    model: str, *, folder: Path | None = None, template: str | None = None
) -> tuple[str, Family]:
    """Name and entry of the family of ``model``: the one named by ``template``, or recognised.

    Recognised, among the families of models that its files say it is, by the last part of its
    name, by the name that ``config.json`` carries in ``folder`` (where the model is, if not where
    its name says), or, for an adapter, by its base; an encoder by its files alone. Raises
    DataError, with the list, where there is no such template and where no family recognises it.
    """
    if template is not None:
        if template not in FAMILIES:
            raise DataError(f"there is no template {template!r}; there are:\n{listed()}")
        return template, FAMILIES[template]
    kind = kind_of(_weights(folder or Path(model)))
    places = (model, str(folder or model))
    for name in (name for place in places for name in _names(place)):
        for key, family in FAMILIES.items():
            possible = kind is None or kind in family.kinds
            if possible and family.names and re.search(family.names, name, re.IGNORECASE):
                return key, family
    if kind == "encoder":
        return "encoder", FAMILIES["encoder"]
    raise DataError(
        f"no family of models recognises {model!r}: say with --template which prompts it was "
        f"trained on; there are:\n{listed()}"
    )


def listed() -> str:
    """All templates, one per line."""
    return "\n".join(f"  {name:<15}{family.about}" for name, family in FAMILIES.items())


def base_of(adapter: Path) -> str:
    """Name or folder of the model that a PEFT adapter belongs to."""
    base: str = _json(adapter / ADAPTER_CONFIG)["base_model_name_or_path"]
    return base


def kind_of(folder: Path) -> Kind | None:
    """What the model in ``folder`` is by its own files; None where they do not tell."""
    if any((folder / name).is_file() for name in EMBEDDER_FILES):
        return "encoder"
    config = folder / "config.json"
    content = _json(config) if config.is_file() else {}
    classes = tuple(content.get("architectures") or ())
    writes = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    if any(name.endswith(writes) for name in classes):
        return "seq2seq" if content.get("is_encoder_decoder") else "causal"
    encodes = ("ForSequenceClassification", "ForMaskedLM", "Model")
    return "encoder" if any(name.endswith(encodes) for name in classes) else None


def _weights(folder: Path) -> Path:
    return Path(base_of(folder)) if (folder / ADAPTER_CONFIG).is_file() else folder


def _names(model: str) -> list[str]:
    """What a model is called, the nearest name first."""
    names = [_last_part(model)]
    folder = Path(model)
    if folder.is_dir():  # "." and links
        names.append(_last_part(str(folder.resolve())))
    if (folder / "config.json").is_file():
        names.append(_last_part(_json(folder / "config.json").get("_name_or_path", "")))
    if (folder / ADAPTER_CONFIG).is_file():
        names += _names(base_of(folder))
    return names


def _last_part(name: str) -> str:
    cached = re.search(r"models--[^/]*--([^/]+)/snapshots/", name)  # a folder of the hub's cache
    return cached[1] if cached else name.rstrip("/").rpartition("/")[2]


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as broken:
        raise DataError(f"{path} is not valid JSON ({broken}): save the model again") from None
    return content
