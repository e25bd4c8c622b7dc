"""Which prompts a reranking model was made for, by model family.

The wrong template costs little code and most of the quality: a Qwen3-Reranker without its own
prompt scores nearly at random. So a model that no family recognises is refused, not guessed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankers.errors import DataError

ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models that read the same prompts."""

    about: str
    """What belongs to it, and whose prompts these are."""
    methods: Mapping[str, Mapping[str, object]]
    """Method of ``rankers.build.METHODS`` -> the options of it that the model was trained with."""
    names: str = ""
    """Regular expression that the names of its models match, whatever the case."""
    chat_options: Mapping[str, object] = field(default_factory=dict)
    """Arguments of the model's chat template."""
    passage_tokens: int | None = None
    """Length to which passages were cut in training."""


_SILENT = {"enable_thinking": False}
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
        names=r"tiny-ranker",
        passage_tokens=32,
    ),
    "rank_zephyr": Family(
        about="RankZephyr, RankVicuna and their relatives (arXiv 2312.02724): one turn, [1] > [2]",
        methods={"listwise": {"template": "rank_zephyr"}, "full": {"template": "rank_zephyr"}},
        names=r"rank[-_]?(zephyr|vicuna|mistral|qwen|llama)",
        chat_options=_SILENT,
        passage_tokens=400,
    ),
    "rankgpt": Family(
        about="any chat model, with RankGPT's prompt (arXiv 2304.09542): one turn per passage",
        methods={"listwise": {"template": "rankgpt"}, "full": {"template": "rankgpt"}},
        chat_options=_SILENT,
    ),
    "first": Family(
        about="FIRST (arXiv 2406.15657): letters, ranked by the first token's log-probabilities",
        methods={"first": {}},
        names=r"first[-_]?(mistral|qwen|zephyr|model)",
        passage_tokens=400,
    ),
    "rank_r1": Family(
        about="Rank-R1 v0.1 (arXiv 2503.06034): think, then [3]",
        methods={"rank-r1": {"version": "0.1"}},
        names=r"rank[-_]?r1(?!.*v?0[._]2)",
        passage_tokens=512,
    ),
    "rank_r1_0.2": Family(
        about="Rank-R1 v0.2: the question in three steps",
        methods={"rank-r1": {"version": "0.2"}},
        names=r"rank[-_]?r1.*v?0[._]2",
        passage_tokens=1024,
    ),
    "iranker": Family(
        about="IRanker (arXiv 2506.21638): eliminates the least relevant passage",
        methods={"iranker": {}},
        names=r"iranker",
    ),
    "e2rank": Family(
        about="E2Rank (arXiv 2510.22733): a listwise prompt as the query's embedding",
        methods={"e2rank": {}, "bi-encoder": {}},
        names=r"e2[-_]?rank",
        chat_options=_SILENT,
    ),
    "qwen3_reranker": Family(
        about="Qwen3-Reranker (arXiv 2506.05176): yes or no about one passage",
        methods={"pointwise": {"question": "qwen3_reranker"}},
        names=r"qwen3[-_]reranker",
    ),
    "mono_t5": Family(
        about="monoT5 (arXiv 2003.06713): true or false about one passage",
        methods={"pointwise": {"question": "mono_t5"}},
        names=r"mono[-_]?t5",
    ),
    "duo_t5": Family(
        about="duoT5 (arXiv 2101.05667): true or false about a pair",
        methods={"pairwise-likelihood": {"question": "duo_t5"}},
        names=r"duo[-_]?t5",
    ),
    "t5": Family(
        about="FLAN-T5 and other instructed encoder-decoders: ielab/llm-rankers' questions",
        methods=_ASKED,
        names=r"flan[-_](t5|ul2)",
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
        names=r"[-_](instruct|chat|it)(?![a-z])|^gpt-[345]",
        chat_options=_SILENT,
    ),
    "encoder": Family(
        about="sentence-transformers' bi-encoders and cross-encoders: no prompt",
        methods={"bi-encoder": {}, "cross-encoder": {}, "e2rank": {}},
    ),
}


def family_of(
    model: str, *, folder: Path | None = None, template: str | None = None
) -> tuple[str, Family]:
    """Name and entry of the family of ``model``: the one named by ``template``, or recognised.

    Recognised by the last part of the model's name, by the name that ``config.json`` carries in
    ``folder`` (where the model is, if not where its name says), by its classes (an encoder), or,
    for an adapter, by its base. Raises DataError, with the list, where there is no such template
    and where no family recognises the model.
    """
    if template is not None:
        if template not in FAMILIES:
            raise DataError(f"there is no template {template!r}; there are:\n{listed()}")
        return template, FAMILIES[template]
    places = (model, str(folder or model))
    for name in (name for place in places for name in _names(place)):
        for key, family in FAMILIES.items():
            if family.names and re.search(family.names, name, re.IGNORECASE):
                return key, family
    if _is_encoder(folder or Path(model)):
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


def _names(model: str) -> list[str]:
    """What a model is called, the nearest name first."""
    names = [_last_part(model)]
    folder = Path(model)
    if (folder / "config.json").is_file():
        names.append(_last_part(_json(folder / "config.json").get("_name_or_path", "")))
    if (folder / ADAPTER_CONFIG).is_file():
        names += _names(base_of(folder))
    return names


def _last_part(name: str) -> str:
    cached = re.search(r"models--[^/]*--([^/]+)/snapshots/", name)  # a folder of the hub's cache
    return cached[1] if cached else name.rstrip("/").rpartition("/")[2]


def _is_encoder(folder: Path) -> bool:
    config = folder / "config.json"
    classes = _json(config).get("architectures") or [] if config.is_file() else []
    return (folder / "modules.json").is_file() or any(
        name.endswith("ForSequenceClassification") for name in classes
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as broken:
        raise DataError(f"{path} is not valid JSON ({broken}): save the model again") from None
    return content
