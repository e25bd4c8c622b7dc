"""Real encoders agree with sentence-transformers and with plain forward passes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankers import (
    BackendError,
    DataError,
    Passage,
    Query,
    bi_encoder_reranker,
    cross_encoder_reranker,
    e2rank_reranker,
)
from rankers.backends.embedding_cache import unit
from rankers.backends.last_token import LastTokenEmbedder
from rankers.backends.sentence import SentenceCrossScorer, SentenceEmbedder
from rankers.methods.e2rank import e2rank_messages
from tests.tiny_encoder import bi_encoder_dir, cross_encoder_dir
from tests.tiny_model import tiny_model_dir

TEXTS = ("a cat sleeps", "the dog", "a bird eats the fish of the day at night", "", "sleeps")
QUERY = Query(id="q", text="what sleeps")
PASSAGES = [Passage(id=str(i), text=text) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "bi": bi_encoder_dir(tmp_path_factory.mktemp("bi")),
        "cross": cross_encoder_dir(tmp_path_factory.mktemp("cross")),
        "causal": tiny_model_dir(tmp_path_factory.mktemp("causal")),
    }


def test_a_bi_encoder_ranks_as_sentence_transformers_does(folders: dict[str, Path]) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import cos_sim

    model = SentenceTransformer(str(folders["bi"]), device="cpu")
    expected = cos_sim(model.encode(QUERY.text), model.encode(list(TEXTS)))[0]
    ranking = bi_encoder_reranker(SentenceEmbedder(folders["bi"])).rank(QUERY, PASSAGES)
    assert list(ranking.order) == expected.argsort(descending=True).tolist()
    assert ranking.scores == pytest.approx(expected[list(ranking.order)].tolist(), abs=1e-5)


def test_a_cross_encoder_scores_as_sentence_transformers_does(folders: dict[str, Path]) -> None:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folders["cross"]), device="cpu")
    pairs = [(QUERY.text, text) for text in TEXTS]
    expected = model.predict(pairs, activation_fn=torch.nn.Identity())
    ranking = cross_encoder_reranker(SentenceCrossScorer(folders["cross"])).rank(QUERY, PASSAGES)
    assert list(ranking.order) == np.argsort(-expected, kind="stable").tolist()
    assert ranking.scores == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-5)


def test_the_last_hidden_state_is_that_of_the_end_token_of_a_text(
    folders: dict[str, Path],
) -> None:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["causal"])
    model = AutoModel.from_pretrained(folders["causal"])

    def last(ids: Any) -> Any:
        with torch.inference_mode():
            return model(torch.tensor([list(ids)])).last_hidden_state[0, -1].numpy()

    embedder = LastTokenEmbedder(folders["causal"])
    plain = [[*tokenizer.encode(text), tokenizer.pad_token_id] for text in TEXTS]
    expected = np.stack([last(ids) for ids in plain])
    np.testing.assert_allclose(embedder.embed(TEXTS), expected, atol=1e-4)
    narrow = LastTokenEmbedder(folders["causal"], max_batch_tokens=8)
    np.testing.assert_allclose(narrow.embed(TEXTS), expected, atol=1e-4)

    chat = e2rank_messages("what", TEXTS[:2])
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    np.testing.assert_allclose(embedder.embed_chats([chat])[0], last(ids), atol=1e-4)
    # A text too long for the model loses its tail, never its end token.
    short = LastTokenEmbedder(folders["causal"], max_tokens=6)
    cut = [*plain[2][:5], tokenizer.pad_token_id]
    np.testing.assert_allclose(short.embed([TEXTS[2]])[0], last(cut), atol=1e-4)


def test_an_end_token_that_the_model_lacks_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="give the token that its embeddings end with"):
        LastTokenEmbedder(folders["causal"], end_token="<|nowhere|>")


@pytest.mark.parametrize("kind", ["bi", "causal"])
def test_e2rank_on_a_real_encoder_is_a_cosine_with_the_prompts_embedding(
    folders: dict[str, Path], kind: str
) -> None:
    embedder: Any = {"bi": SentenceEmbedder, "causal": LastTokenEmbedder}[kind](folders[kind])
    ranking = e2rank_reranker(embedder, feedback=2, instruction="rank").rank(QUERY, PASSAGES)
    chat = e2rank_messages(QUERY.text, TEXTS[:2], instruction="rank")
    prompt = unit(embedder.embed_chats([chat])[0])
    expected = unit(embedder.embed(TEXTS)) @ prompt
    assert ranking.scores == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-5)


@pytest.mark.parametrize("kind", ["bi", "causal"])
def test_a_long_listwise_prompt_loses_passages_never_its_query(
    folders: dict[str, Path], kind: str
) -> None:
    build: Any = {"bi": SentenceEmbedder, "causal": LastTokenEmbedder}[kind]
    embedder = build(folders[kind], max_tokens={"bi": 56, "causal": 400}[kind])
    long = [Passage(id=str(i), text="the cat sleeps " * 40) for i in range(2)]
    ranking = e2rank_reranker(embedder, instruction="rank").rank(QUERY, long)
    assert ranking.trace.truncated == 2
    with pytest.raises(BackendError, match="exceed"):
        embedder.embed_chats([e2rank_messages(QUERY.text, [passage.text for passage in long])])


@pytest.mark.parametrize("kind", [SentenceEmbedder, SentenceCrossScorer])
def test_a_folder_without_a_model_is_refused(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="with sentence-transformers"):
        kind(tmp_path)
