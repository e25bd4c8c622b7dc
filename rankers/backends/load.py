"""Backend name + model -> a loaded engine, and the tokenizer that measures its prompts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rankers.backends.embedding_cache import CachedEmbedder
from rankers.backends.rendering import Renderer
from rankers.errors import DataError
from rankers.prompting.model_families import ADAPTER_CONFIG, Trained, base_of

BackendName = Literal["vllm", "hf", "openai", "sentence-transformers"]
Need = Literal["text", "labels", "likelihood", "embeddings", "pairs"]
Dtype = Literal["float32", "bfloat16"]

SERVES: Mapping[BackendName, tuple[Need, ...]] = {
    "vllm": ("text", "labels", "likelihood"),
    "hf": ("text", "labels", "likelihood", "embeddings"),
    "openai": ("text", "labels"),
    "sentence-transformers": ("embeddings", "pairs"),
}
"""What each backend can answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model as the user names it. None is the default of the model or machine."""

    name: str
    """Folder of a model or of a PEFT adapter, hub id, or the name that an endpoint knows."""
    base: Path | None = None
    """Where the weights are (of the adapter's base), if not where ``name`` says."""
    max_length: int | None = None
    """Tokens of prompt and answer together, or that an encoder reads of a text."""
    dtype: Dtype = "float32"
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``OpenAiBackend`` but the model and the template's."""
    tokenizer: str | None = None
    """Model folder with the endpoint's tokenizer: without it, passages cannot be cut there."""
    trained_on: str | None = None
    """Template of ``rankers.prompting.model_families`` that it was trained on, where more than its
    name tells.
    """
    trained: Trained | None = None
    """All that shaped the prompts it was trained on, where its run tells."""

    @property
    def adapter(self) -> Path | None:
        folder = Path(self.name)
        return folder if (folder / ADAPTER_CONFIG).is_file() else None

    @property
    def weights(self) -> str | Path:
        return self.base or (self.name if self.adapter is None else base_of(self.adapter))


class LoadedBackend(NamedTuple):
    """Something that answers, and what its prompts are measured with."""

    backend: Any
    """Implements the protocols of ``rankers.reranker.protocols`` that SERVES promises."""
    tokenizer: Renderer | None


def load_backend(
    model: ModelSpec, backend: BackendName, need: Need, chat_options: Mapping[str, object]
) -> LoadedBackend:
    """Load ``model`` for what a method needs. Raises DataError where the parts do not fit."""
    causal = need in ("text", "labels", "likelihood")
    bi_encoder = need == "embeddings" and backend == "sentence-transformers"
    if model.adapter is not None and not (causal or bi_encoder):
        raise DataError(
            f"{model.name} is an adapter, which backend {backend!r} cannot load for this method: "
            "merge it into its model"
        )
    return _LOADERS[backend](model, need, chat_options)


def with_adapter(loaded: LoadedBackend, adapter: Path) -> LoadedBackend | None:
    """The same engine answering with another adapter; None where it has to be loaded anew."""
    from rankers.backends.vllm import VllmBackend

    if not isinstance(loaded.backend, VllmBackend):
        return None
    return LoadedBackend(loaded.backend.with_adapter(adapter), loaded.tokenizer)


def _vllm(model: ModelSpec, need: Need, chat_options: Mapping[str, object]) -> LoadedBackend:
    from rankers.backends.vllm import VllmBackend

    vllm = VllmBackend(
        model.weights,
        adapter=model.adapter,
        dtype=model.dtype,
        max_length=model.max_length,
        chat_options=chat_options,
    )
    return LoadedBackend(vllm, vllm.chat_tokenizer)


def _hf(model: ModelSpec, need: Need, chat_options: Mapping[str, object]) -> LoadedBackend:
    if need == "embeddings":
        from rankers.backends.last_token import LastTokenEmbedder

        embedder = LastTokenEmbedder(
            model.weights, max_tokens=model.max_length, dtype=model.dtype, device=_device()
        )
        return LoadedBackend(CachedEmbedder(embedder=embedder), embedder.chat_tokenizer)
    from rankers.backends.hf import HfBackend

    hf = HfBackend(
        model.weights,
        adapter=model.adapter,
        dtype=model.dtype,
        device=_device(),
        max_length=model.max_length,
        chat_options=chat_options,
    )
    return LoadedBackend(hf, hf.chat_tokenizer)


def _openai(model: ModelSpec, need: Need, chat_options: Mapping[str, object]) -> LoadedBackend:
    from rankers.backends.openai import OpenAiBackend

    if model.endpoint.get("base_url") is None:
        raise DataError("backend openai needs the endpoint's --base-url, such as http://host/v1")
    endpoint = OpenAiBackend(model=model.name, chat_options=chat_options, **model.endpoint)
    if model.tokenizer is None:
        return LoadedBackend(endpoint, None)
    renderer = Renderer(model.tokenizer, chat_options=chat_options, max_length=model.max_length)
    return LoadedBackend(endpoint, renderer)


def _sentence_transformers(
    model: ModelSpec, need: Need, chat_options: Mapping[str, object]
) -> LoadedBackend:
    from rankers.backends.sentence import SentenceCrossScorer, SentenceEmbedder

    if need == "pairs":
        scorer = SentenceCrossScorer(
            model.weights, max_tokens=model.max_length, dtype=model.dtype, device=_device()
        )
        return LoadedBackend(scorer, None)
    embedder = SentenceEmbedder(
        model.weights,
        adapter=model.adapter,
        max_tokens=model.max_length,
        dtype=model.dtype,
        device=_device(),
    )
    return LoadedBackend(CachedEmbedder(embedder=embedder), None)


_LOADERS: Mapping[BackendName, Callable[[ModelSpec, Need, Mapping[str, object]], LoadedBackend]] = {
    "vllm": _vllm,
    "hf": _hf,
    "openai": _openai,
    "sentence-transformers": _sentence_transformers,
}


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
