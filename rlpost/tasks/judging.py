"""A reranker as the judge of a task: where it comes from, and its order as the ideal one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from rankers.backends.served import served_reranker
from rankers.build import RerankerSpec, build, decide
from rankers.reranker import Problem, Reranker
from rankers.types import Passage, Query
from rlpost.config_task import RerankerReward
from rlpost.reranking.run import located
from rlpost.tasks.rerank import Candidates, PromptWriter, RerankReward, candidates_of
from rlpost.types import Completion, Prompt, Score


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
    return build(spec).reranker
