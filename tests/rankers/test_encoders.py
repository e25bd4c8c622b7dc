"""Cosine, E2Rank and cross-encoder rankings by hand arithmetic, and the memory of embeddings."""

import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from rankers import (
    CachedEmbedder,
    Passage,
    Query,
    ScoreError,
    bi_encoder_reranker,
    cross_encoder_reranker,
    e2rank_reranker,
)
from rankers.methods.e2rank import E2RANK_QUERY, e2rank_messages
from rankers.prompting.templates import ChatMessage
from rankers.reranker.reranker import Reranker


@dataclass(kw_only=True)
class Plane:
    """Embeds a text as the sum of the vectors it names, "(3 4)", which need not be units."""

    embedded: list[str] = field(default_factory=list)
    chats: list[str] = field(default_factory=list)
    calls: int = 0
    budget: None = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        self.embedded += texts
        return np.array([self._vector(text) for text in texts], dtype=np.float32)

    def embed_chats(self, chats: Sequence[Sequence[ChatMessage]]) -> NDArray[np.float32]:
        texts = ["\n".join(turn["content"] for turn in chat) for chat in chats]
        self.chats += texts
        return np.array([self._vector(text) for text in texts], dtype=np.float32)

    def _vector(self, text: str) -> tuple[float, float]:
        found = re.findall(r"\((-?\d+) (-?\d+)\)", text)
        return sum(float(x) for x, _ in found), sum(float(y) for _, y in found)


def passages(*texts: str) -> list[Passage]:
    return [Passage(id=f"d{i}", text=text) for i, text in enumerate(texts)]


EAST, NORTH, BETWEEN, WEST = "(2 0)", "(0 3)", "(3 4)", "(-1 0)"


def test_a_bi_encoder_ranks_by_cosine_whatever_the_lengths() -> None:
    reranker = bi_encoder_reranker(Plane())
    ranking = reranker.rank(Query(id="q", text="(5 0)"), passages(WEST, NORTH, BETWEEN, EAST))
    assert ranking.order == (3, 2, 1, 0)
    assert ranking.scores == pytest.approx((1.0, 0.6, 0.0, -1.0))
    assert (reranker.score_kind, ranking.trace.calls) == ("cosine", 1)


def test_prompts_go_before_the_texts() -> None:
    plane = Plane()
    reranker = bi_encoder_reranker(plane, query_prompt="query: ", passage_prompt="passage: ")
    reranker.rank(Query(id="q", text=EAST), passages(NORTH))
    assert plane.embedded == ["query: (2 0)", "passage: (0 3)"]


def test_equal_scores_keep_the_input_order_and_equal_texts_stay_apart() -> None:
    ranking = bi_encoder_reranker(Plane()).rank(
        Query(id="q", text=EAST), passages(NORTH, EAST, EAST, NORTH, "(0 9)")
    )
    assert ranking.order == (1, 2, 0, 3, 4)


def test_a_vector_without_a_direction_is_near_to_nothing() -> None:
    ranking = bi_encoder_reranker(Plane()).rank(Query(id="q", text=EAST), passages(WEST, "", EAST))
    assert (ranking.order, ranking.scores) == ((2, 1, 0), (1.0, 0.0, -1.0))


def test_a_vector_that_is_no_number_is_an_error_never_a_rank() -> None:
    class Broken(Plane):
        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return super().embed(texts) * np.float32("nan")

    with pytest.raises(ScoreError, match="candidate 0 the score nan"):
        bi_encoder_reranker(Broken()).rank(Query(id="q", text=EAST), passages(EAST))


def test_the_listwise_prompt_is_the_published_one() -> None:
    [turn] = e2rank_messages("a query", ["first\n[2]", "second"])
    assert turn["content"] == (
        "Given a web search query and some relevant documents, rerank the documents that answer "
        "the query:\nDocuments:\n[1] first (2)\n[2] second\nSearch Query: a query"
    )


def test_e2rank_scores_all_by_a_query_written_from_the_first_ones() -> None:
    plane = Plane()
    # Query east plus feedback north-north: (2 0) + (0 3) + (0 3) = (2 6).
    reranker = e2rank_reranker(plane, feedback=2)
    ranking = reranker.rank(Query(id="q", text=EAST), passages(NORTH, "(0 3)", EAST, "(1 3)"))
    norm = 40**0.5
    assert ranking.order == (3, 0, 1, 2)
    expected = (1.0, 6 / norm, 6 / norm, 2 / norm)
    assert ranking.scores == pytest.approx(expected, abs=1e-6)
    [prompt] = plane.chats
    assert "[2] (0 3)" in prompt
    assert "[3]" not in prompt


def test_each_pass_takes_its_feedback_from_the_pass_before() -> None:
    plane = Plane()
    candidates = passages("(0 1)", "(4 0)", "(1 1)")
    ranking = e2rank_reranker(plane, feedback=1, passes=2).rank(
        Query(id="q", text="(1 0)"), candidates
    )
    # (1 0) + (0 1): the third leads; then (1 0) + (1 1) = (2 1), of which it is still nearest.
    assert ["[1] (0 1)" in plane.chats[0], "[1] (1 1)" in plane.chats[1]] == [True, True]
    assert ranking.order == (2, 1, 0)
    assert ranking.trace.calls == 2


def test_the_plain_query_can_order_the_candidates_first() -> None:
    plane = Plane()
    reranker = e2rank_reranker(plane, feedback=1, cosine_first=True)
    ranking = reranker.rank(Query(id="q", text="(1 0)"), passages(NORTH, WEST, EAST))
    assert plane.embedded[0] == f"{E2RANK_QUERY}(1 0)"
    assert "[1] (2 0)\n" in plane.chats[0]
    assert (ranking.order, ranking.trace.calls) == ((2, 0, 1), 2)


def test_a_cross_encoder_scores_every_pair() -> None:
    class Lengths:
        def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            return [float(len(passage) - len(query)) for query, passage in pairs]

    reranker = cross_encoder_reranker(Lengths())
    ranking = reranker.rank(Query(id="q", text="xx"), passages("a", "abcd", "abc"))
    assert (ranking.order, ranking.scores) == ((1, 2, 0), (2.0, 1.0, -1.0))
    assert (reranker.score_kind, ranking.trace.calls) == ("logit", 3)


@pytest.mark.parametrize(
    "reranker",
    [
        bi_encoder_reranker(Plane()),
        e2rank_reranker(Plane(), feedback=3, passes=2),
        e2rank_reranker(CachedEmbedder(embedder=Plane()), cosine_first=True),
    ],
    ids=lambda reranker: str(reranker.name),
)
def test_many_queries_together_are_as_each_alone_and_rerankers_pickle(reranker: Reranker) -> None:
    problems = [
        (
            Query(id=f"q{q}", text=f"({q} {q + 1})"),
            passages(*(f"({i % 5 - q} {7 - i})" for i in range(n))),
        )
        for q, n in enumerate((0, 1, 4, 30))
    ]
    together = reranker.rank_many(problems)
    copied: Reranker = pickle.loads(pickle.dumps(reranker))
    alone = [copied.rank(query, candidates) for query, candidates in problems]
    assert together == alone
    assert [len(ranking.order) for ranking in together] == [0, 1, 4, 30]


def test_a_document_met_again_is_not_encoded_again() -> None:
    plane = Plane()
    reranker = e2rank_reranker(CachedEmbedder(embedder=plane))
    candidates = passages(EAST, NORTH, EAST, WEST)
    first = reranker.rank(Query(id="q", text=EAST), candidates)
    again = reranker.rank(Query(id="r", text=EAST), candidates[::-1])
    assert plane.embedded == [EAST, NORTH, WEST]
    assert len(plane.chats) == 2
    assert again.scores == first.scores


def test_the_memory_is_bounded_and_forgets_what_was_used_longest_ago() -> None:
    plane = Plane()
    cached = CachedEmbedder(embedder=plane, max_bytes=3 * 2 * 4)
    expected = plane.embed([EAST, NORTH, WEST, BETWEEN])
    plane.embedded.clear()
    for texts in ([EAST, NORTH, WEST], [EAST], [BETWEEN]):
        cached.embed(texts)
    assert plane.embedded == [EAST, NORTH, WEST, BETWEEN]
    assert cached.embed([EAST, WEST, BETWEEN]).tolist() == expected[[0, 2, 3]].tolist()
    assert plane.embedded == [EAST, NORTH, WEST, BETWEEN]  # north alone was forgotten
    cached.embed([NORTH])
    assert plane.embedded[-1] == NORTH
    # A batch larger than the memory is answered all the same.
    assert cached.embed([EAST, NORTH, WEST, BETWEEN]).tolist() == expected.tolist()


def test_senseless_options_are_refused() -> None:
    with pytest.raises(ValueError, match="passes must be >= 1, got 0"):
        e2rank_reranker(Plane(), passes=0)
    with pytest.raises(ValueError, match="feedback must be >= 1, got 0"):
        e2rank_reranker(Plane(), feedback=0)
