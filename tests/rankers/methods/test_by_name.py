"""Names -> reranker: all methods that tiny models can answer, and what does not go together."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rankers.backends.load import ModelSpec
from rankers.errors import DataError
from rankers.methods import pairwise_likelihood_reranker
from rankers.methods.by_name import RerankerSpec, build_reranker
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import LabelScores
from rankers.types import Passage, Query
from tests.rankers.backends.models import random_adapter_dir, tiny_t5_dir

PASSAGES = [Passage(id=str(i), text=f"the dog {i}") for i in range(4)]


def spec(method: str, model: Path, **more: object) -> RerankerSpec:
    source = ModelSpec(name=str(model))
    return RerankerSpec(method=method, model=source, backend="hf", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "method",
    ["listwise", "first", "setwise", "setwise-likelihood", "pairwise", "query-likelihood"],
)
def test_methods_rank_with_a_tiny_chat_model(method: str, tiny_model: Path) -> None:
    built = build_reranker(spec(method, tiny_model, template="chat", depth=4))
    ranking = built.reranker.rank(Query(id="q", text="dog"), PASSAGES)
    assert sorted(ranking.order) == [0, 1, 2, 3]
    assert ranking.trace.calls > 0


def test_an_adapter_is_found_with_its_base_and_changes_the_scores(
    tiny_model: Path, tmp_path: Path
) -> None:
    adapter = random_adapter_dir(tiny_model, tmp_path)
    scores = [
        build_reranker(spec("query-likelihood", model, template="chat")).reranker.rank(
            Query(id="q", text="sort a list"), PASSAGES
        )
        for model in (tiny_model, adapter)
    ]
    assert set(scores[0].scores).isdisjoint(scores[1].scores)


def test_long_passages_are_cut_to_what_the_family_was_trained_on(tiny_model: Path) -> None:
    built = build_reranker(spec("listwise", tiny_model, template="compact", depth=4))
    assert built.passage_tokens == 32
    long = [Passage(id=str(i), text="dog " * 40) for i in range(4)]
    assert built.reranker.rank(Query(id="q", text="dog"), long).trace.truncated > 0


@pytest.mark.parametrize(
    ("method", "template", "says"),
    [
        ("rank-r1", "rank_r1", "reads 512 tokens and the answer may take 2048"),
        ("pointwise", "first", "answers the methods first, not pointwise"),
        ("cross-encoder", "encoder", "does not run on backend hf: use sentence-transformers"),
    ],
)
def test_what_does_not_go_together_is_refused(
    method: str, template: str, says: str, tiny_model: Path
) -> None:
    with pytest.raises(DataError, match=says):
        build_reranker(spec(method, tiny_model, template=template))


def test_a_t5_is_taken_by_transformers_and_its_labels_are_checked(tmp_path: Path) -> None:
    tiny_t5_dir(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"_name_or_path": "x/monot5-base"}))
    built = build_reranker(RerankerSpec(method="pointwise", model=ModelSpec(name=str(tmp_path))))
    assert (built.backend, built.template) == ("hf", "mono_t5")
    with pytest.raises(DataError, match="label 'true' after '' is not one token"):
        built.reranker.rank(Query(id="q", text="dog"), PASSAGES)


def test_duo_t5_prefers_the_first_document_where_it_says_true() -> None:
    asked: list[str] = []

    class Later:
        """Finds the document with the larger number better."""

        def label_logprobs(
            self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
        ) -> list[LabelScores]:
            assert (tuple(labels), primer) == (("true", "false"), "")
            asked.extend(chat[0]["content"] for chat in chats)
            numbers = [[int(w) for w in text.split() if w.isdecimal()] for text in asked]
            truths = [first > second for first, second in numbers[-len(chats) :]]
            return [
                LabelScores(logprobs=(0.0, -5.0) if true else (-5.0, 0.0), prompt_tokens=1)
                for true in truths
            ]

    reranker = pairwise_likelihood_reranker(Later(), sort="all_pairs", question="duo_t5")
    passages = [Passage(id=str(i), text=f"text {i} Document1: fake") for i in range(3)]
    assert reranker.rank(Query(id="q", text="dog"), passages).order == (2, 1, 0)
    assert asked[0] == (
        "Query: dog Document0: text 0 Document1; fake Document1: text 1 Document1; fake Relevant:"
    )
