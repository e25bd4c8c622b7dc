"""What a student must be able to do; from the config to a student, and to the ranker it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rankers.reranker.reranker import Reranker
from rlpost.distill.config import DistillConfig, E2RankStudent, FirstStudent, FullStudent
from rlpost.distill.lists import TeacherList
from rlpost.models.loading import load_bare_tokenizer, load_tokenizer
from rlpost.weights.lora import LoraSettings

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from rankers.backends.hf import HfBackend


class Student(Protocol):
    """A model that learns from lists of a teacher."""

    def parameters(self) -> Sequence[Parameter]: ...

    def losses(self, lists: Sequence[TeacherList]) -> Iterator[Tensor]:
        """The mean loss of ``lists`` in parts that add up to it, each with a graph of its own."""
        ...

    def save(self, folder: Path) -> None:
        """Write ``folder/model``, complete and merged, and adapters where there are any."""
        ...


def build_student(cfg: DistillConfig) -> Student:
    """The student of a config, untrained. Raises UserError for a model that cannot be one."""
    student = cfg.student
    loaded = load_bare_tokenizer if isinstance(student, E2RankStudent) else load_tokenizer
    tokenizer = loaded(cfg.model.path)
    lora = cfg.model.lora
    common: dict[str, Any] = {
        "tokenizer": tokenizer,
        "dtype": cfg.model.dtype,
        "lora": None
        if lora is None
        else LoraSettings(
            rank=lora.rank,
            alpha=lora.alpha,
            dropout=lora.dropout,
            target_modules=lora.target_modules,
        ),
        "seed": cfg.seed,
        "max_length": cfg.model.max_length,
    }
    if isinstance(student, E2RankStudent):
        from rlpost.distill.embedding import EmbeddingStudent

        return EmbeddingStudent(cfg.model.path, recipe=student, **common)
    from rlpost.distill.causal import CausalStudent, First, Full

    recipe = (
        First(
            tokenizer,
            num=cfg.candidates,
            weight=student.ranknet_weight,
            template=student.template,
        )
        if isinstance(student, FirstStudent)
        else Full(tokenizer, template=student.template)
    )
    return CausalStudent(
        cfg.model.path,
        recipe=recipe,
        tokens_per_batch=cfg.optimizer.tokens_per_batch,
        chat_options=cfg.model.chat_template_kwargs,
        **common,
    )


def ranker(cfg: DistillConfig, model: Path) -> Reranker:
    """The ranker that a student is, with the weights in ``model``."""
    makers: dict[type, Callable[[Any, Path], Reranker]] = {
        FirstStudent: _first,
        FullStudent: _full,
        E2RankStudent: _e2rank,
    }
    return makers[type(cfg.student)](cfg, model)


def _first(cfg: DistillConfig, model: Path) -> Reranker:
    from rankers.methods import first_reranker

    assert isinstance(cfg.student, FirstStudent)
    window = cfg.candidates
    return first_reranker(
        _backend(cfg, model),
        window=window,
        step=max(1, window // 2),
        template=cfg.student.template,
    )


def _full(cfg: DistillConfig, model: Path) -> Reranker:
    from rankers.methods import full_ranking_reranker

    assert isinstance(cfg.student, FullStudent)
    return full_ranking_reranker(_backend(cfg, model), template=cfg.student.template)


def _backend(cfg: DistillConfig, model: Path) -> HfBackend:
    from rankers.backends.hf import HfBackend

    options = cfg.model.chat_template_kwargs
    return HfBackend(model, dtype=cfg.model.dtype, chat_options=options)


def _e2rank(cfg: DistillConfig, model: Path) -> Reranker:
    from rankers.backends.sentence import SentenceEmbedder
    from rankers.methods import e2rank_reranker

    assert isinstance(cfg.student, E2RankStudent)
    embedder = SentenceEmbedder(model, max_tokens=cfg.model.max_length, dtype=cfg.model.dtype)
    return e2rank_reranker(
        embedder, feedback=cfg.candidates, passage_prompt=cfg.student.passage_prompt
    )
