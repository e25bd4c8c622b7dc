"""Rewards of ranking tasks: nDCG of the order written, or agreement with another reranker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from rankers.backends.rerank_api import served_reranker
from rankers.evaluation.measures import ndcg
from rankers.methods.by_name import RerankerSpec, build_reranker, decide
from rankers.prompting.parsing import parse_permutation
from rankers.prompting.templates import listwise_answer
from rankers.reranker.reranker import Problem, Reranker
from rankers.types import Passage, Query, ScoredDoc
from rlpost.config.task import RerankerReward
from rlpost.serving.model_spec import located
from rlpost.tasks.ranking.prompts import Candidates, PromptWriter, candidates_of
from rlpost.types import Completion, Prompt, Score


class RerankReward:
    """(1 - w) * nDCG@depth of the produced order + w * (the answer is one well-formed ranking).

    The ideal order of nDCG is that of the candidates shown, so a perfect answer earns 1 however
    many relevant documents the first stage missed; evaluation uses all judged documents.
    """

    def __init__(self, *, depth: int, format_weight: float) -> None:
        self._depth = depth
        self._format_weight = format_weight

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        candidates = candidates_of(prompt)
        parsed = parse_permutation(completion.text, len(candidates.doc_ids))
        parts = {
            "ndcg": ndcg(parsed.order, candidates.gains, k=self._depth),
            "format": float(parsed.well_formed),
        }
        weight = self._format_weight
        return Score(total=(1 - weight) * parts["ndcg"] + weight * parts["format"], parts=parts)


class JudgedRerankReward:
    """RerankReward with a reranker's order of the candidates in place of human judgements.

    Each place in it is worth twice the next one. Reinforcement learning from AI feedback (arXiv
    2309.00267) for rankers. A reranker that fails is an error, never a score.
    """

    def __init__(
        self,
        queries: Mapping[str, str],
        texts: Mapping[str, str],
        reranker: Callable[[], Reranker],
        reward: RerankReward,
    ) -> None:
        """``queries`` and ``texts``: by id, those of all candidates."""
        self._queries = queries
        self._texts = texts
        self._reranker = reranker()
        self._reward = reward

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return self.group(prompt, [completion])[0]

    def group(self, prompt: Prompt, completions_G: Sequence[Completion]) -> list[Score]:
        """The scores of siblings, whose candidates the reranker orders once."""
        shown = candidates_of(prompt)
        query = Query(id=prompt.id, text=self._queries[prompt.id])
        asked = problem(query, shown, self._texts)
        [ranking] = self._reranker.rank_many([asked], strict=True)
        worth = {doc: 2**place for place, doc in enumerate(reversed(ranking.order))}
        judged = replace(shown, gains=tuple(worth[i] for i in range(len(worth))))
        seen = replace(prompt, payload=judged)
        return [self._reward(seen, completion) for completion in completions_G]


def problem(query: Query, shown: Candidates, texts: Mapping[str, str]) -> Problem:
    """What the reranker is asked; its order is of places in ``shown``."""
    return query, [Passage(id=doc_id, text=texts[doc_id]) for doc_id in shown.doc_ids]


def texts_of(writer: PromptWriter, query_ids: Iterable[str]) -> dict[str, str]:
    """Document id -> text, of all candidates of these queries."""
    ids = {doc_id for query_id in query_ids for doc_id in writer.candidates(query_id)}
    return {doc_id: writer.collection.corpus[doc_id].content for doc_id in sorted(ids)}


def reranker_of(reward: RerankerReward) -> Callable[[], Reranker]:
    """What makes the reranker of a config, in any process. Loads nothing itself."""
    if reward.url is not None:
        return partial(served_reranker, reward.url, model=reward.model, timeout_s=reward.timeout_s)
    assert reward.method is not None  # see RerankerReward
    assert reward.model is not None
    model = located(reward.model, reward.backend, {}, None)
    spec = RerankerSpec(method=reward.method, model=model, backend=reward.backend)
    decide(spec)
    return partial(_built, spec)


def _built(spec: RerankerSpec) -> Reranker:
    return build_reranker(spec).reranker


def ranked_documents(prompt: Prompt, completion: Completion) -> list[ScoredDoc]:
    """One line of a run: the candidates in the order that the answer puts them."""
    doc_ids = candidates_of(prompt).doc_ids
    order = parse_permutation(completion.text, len(doc_ids)).order
    return [ScoredDoc(doc_ids[i], float(len(doc_ids) - rank)) for rank, i in enumerate(order)]


def teacher_answer(writer: PromptWriter, prompt: Prompt) -> str:
    """The first stage's own order as an answer: what a warm start imitates."""
    shown = candidates_of(prompt).doc_ids
    best_first = writer.candidates(prompt.id)
    return listwise_answer([shown.index(doc_id) for doc_id in best_first])
