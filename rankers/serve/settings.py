"""What a server is told at its start: which models, who may ask, and how much."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from rankers.config_file import Section
from rankers.secrets import plain_url

ModelName = Annotated[str, Field(pattern=r"^[\w.:/-]+$", max_length=200)]

Url = Annotated[str, AfterValidator(partial(plain_url, variable="OPENAI_API_KEY"))]


class ModelSettings(Section):
    """A reranker under a name of its own; what is not given is the default of `rlpost rerank`."""

    name: ModelName
    """What requests call it."""
    aliases: tuple[ModelName, ...] = ()
    """Other names for it: those that clients of another service have in their code."""
    method: str
    """listwise, first, setwise, pairwise, rank-r1, e2rank, cross-encoder ..."""
    model: str | None = None
    """Folder, PEFT adapter, shipped name (tiny-ranker) or hub id; default: the adapter's base."""
    adapter: Path | None = None
    """PEFT adapter, or run folder whose newest one answers."""
    follow: bool = False
    """Whether a newer adapter of the run folder is swapped in when it appears."""
    backend: Literal["vllm", "hf", "openai", "sentence-transformers"] | None = None
    """Default: the fastest on this machine that can do it."""
    template: str | None = None
    """Family whose prompts to use; default: told from the model."""
    options: dict[str, int | float | str] = Field(default={})
    """Of the method: window, step, k, sort ..."""
    depth: Annotated[int, Field(ge=1)] = 100
    """Passages that methods without a window show at once, at most."""
    passage_tokens: Annotated[int, Field(ge=1)] | None = None
    """Cut passages to so many tokens."""
    max_length: Annotated[int, Field(ge=1)] | None = None
    """Tokens of a prompt with its answer, or that an encoder reads."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of weights and arithmetic."""
    base_url: Url | None = None
    """OpenAI-compatible endpoint that runs the model, http://host:port/v1."""
    vllm_server: bool = False
    """Whether that endpoint is a vLLM server."""
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """For one request to that endpoint."""
    tokenizer: str | None = None
    """Model folder to measure that endpoint's prompts."""

    @model_validator(mode="after")
    def _some_model(self) -> ModelSettings:
        if self.model is None and self.adapter is None:
            raise ValueError(f"models: {self.name!r} has neither a model nor an adapter: give one")
        if self.follow and self.adapter is None:
            raise ValueError(f"models: {self.name!r} has no adapter to follow: give a run folder")
        return self


class Limits(Section):
    """How much of anything a request, and all of them together, may take."""

    body_bytes: Annotated[int, Field(ge=1)] = 16 * 2**20
    """Of a request; beyond: 413."""
    documents: Annotated[int, Field(ge=1)] = 1000
    """Of a request; beyond, and for the two lengths: 422."""
    query_chars: Annotated[int, Field(ge=1)] = 32_768
    """Of a query."""
    document_chars: Annotated[int, Field(ge=1)] = 1_000_000
    """Of a document."""
    queue_jobs: Annotated[int, Field(ge=1)] = 256
    """Queries waiting or being ranked; beyond, and for the tokens: 429."""
    queue_tokens: Annotated[int, Field(ge=1)] = 16_000_000
    """Of their texts together, at four characters a token."""
    deadline_s: Annotated[float, Field(gt=0)] = 120.0
    """For a request, from its arrival; a request may ask for less. Beyond: 504."""
    hang_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Of an engine that has work; then it hangs and is replaced. Never before deadline_s."""
    header_timeout_s: Annotated[int, Field(ge=1)] = 10
    """For the head of a request to arrive, and for an idle connection; then it is closed."""
    body_s: Annotated[float, Field(gt=0)] = 30.0
    """For the body of a request to arrive; beyond: 408."""
    answer_s: Annotated[float, Field(gt=0)] = 30.0
    """For a client to take its answer; then the connection is cut."""
    arriving_bytes: Annotated[int, Field(ge=1)] = 128 * 2**20
    """Of bodies that are arriving, together; beyond, the largest is refused: 503."""
    leaving_bytes: Annotated[int, Field(ge=1)] = 128 * 2**20
    """Of answers that clients have yet to take, together; beyond, the connection that has waited
    longest is cut."""
    drain_grace_s: Annotated[float, Field(ge=0)] = 3.0
    """After SIGTERM, for load balancers to see that /ready answers 503; new requests are served."""

    @model_validator(mode="after")
    def _one_body_fits(self) -> Limits:
        if self.arriving_bytes < self.body_bytes:
            raise ValueError(
                f"limits: arriving_bytes {self.arriving_bytes} is less than body_bytes "
                f"{self.body_bytes}, so that no such body could arrive: raise it"
            )
        return self


class Batching(Section):
    """How requests share calls of the engine."""

    questions: Annotated[int, Field(ge=1)] = 256
    """In one call at most; queries with many take turns."""


class Settings(Section):
    """A server. Keys are secret: they never show in logs or error messages."""

    models: tuple[ModelSettings, ...]
    """The first answers requests that name none."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes a free one."""
    keys: tuple[SecretStr, ...] = ()
    """API keys, any of which is let in. None: everybody is. Also from RLPOST_API_KEYS."""
    keys_file: Path | None = None
    """Text file with a key on each line."""
    cors_origins: tuple[str, ...] = ()
    """Other sites whose pages may call this server from a browser."""
    log_documents: bool = False
    """Whether logs may hold the texts of queries and documents."""
    cache_bytes: Annotated[int, Field(ge=0)] = 1 << 30
    """Memory for the document embeddings of each embedding ranker."""
    limits: Limits = Limits()
    batching: Batching = Batching()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        if not self.models:
            raise ValueError("models: there is none: give one at least")
        names = [name for model in self.models for name in (model.name, *model.aliases)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"models: the name {name!r} is there twice: give each its own")
        return self

    @property
    def aliases(self) -> dict[str, str]:
        """Every name that a request may use -> name of the model."""
        return {name: model.name for model in self.models for name in (model.name, *model.aliases)}
