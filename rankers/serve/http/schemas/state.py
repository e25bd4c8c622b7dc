"""What the server says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rankers.reranker.reranker import ScoreKind
from rankers.serve.engine.service import ModelInfo
from rankers.serve.http.schemas.base import AnswerBody


class ModelAnswer(AnswerBody):
    """A served model."""

    id: str
    """What requests call it."""
    object: Literal["model"] = "model"
    created: int
    """When the server started."""
    owned_by: Literal["rlpost"] = "rlpost"
    aliases: list[str]
    """Other names for it."""
    root: str
    """The model behind it."""
    method: str
    backend: str
    template: str
    score_kind: ScoreKind
    """What scores mean. `rank`: the order alone, n/n for the best down to 1/n. `wins`: share of the
    duels won. The rest compare across requests: `probability` as it is, `log_odds` and `logit`
    through a sigmoid, `log_likelihood` through exp, `cosine` as (1 + cosine) / 2."""
    embeds: bool
    """Whether /v1/embeddings takes it."""
    version: int
    """Of its adapter: goes up with each one swapped in."""
    max_documents: int
    """Of a request."""


class ModelsAnswer(AnswerBody):
    """All served models; the first is the default."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer]


class StateAnswer(AnswerBody):
    """Whether all is well."""

    status: Literal["ok", "loading", "draining"]


class RerankerType(AnswerBody):
    """As TEI puts it."""

    reranker: dict[str, dict[str, str]]


class InfoAnswer(AnswerBody):
    """About the server and its default model; names are TEI's."""

    model_id: str
    model_type: RerankerType
    max_concurrent_requests: int
    max_client_batch_size: int
    version: str
    """Of this software."""
    models: list[str]
    """What requests may call the models."""


def model_answer(info: ModelInfo, *, aliases: list[str], created: int, most: int) -> ModelAnswer:
    """``info`` as the API tells it."""
    return ModelAnswer(
        id=info.name,
        created=created,
        aliases=aliases,
        root=Path(info.model).name,
        method=info.method,
        backend=info.backend,
        template=info.template,
        score_kind=info.score_kind,
        embeds=info.embeds,
        version=info.version,
        max_documents=min(most, info.max_passages or most),
    )
