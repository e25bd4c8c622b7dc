"""An embedder's own prompts stand before queries and passages wherever it embeds them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rankers import CachedEmbedder, Collection, Document, Passage, Query, bi_encoder_reranker
from rankers.backends.embedding_cache import unit
from rankers.backends.last_token import LastTokenEmbedder
from rankers.backends.load import ModelSpec
from rankers.backends.sentence import SentenceEmbedder
from rankers.backends.sentence_load import own_prompts
from rankers.first_stage.dense import dense_run
from rankers.methods import e2rank_reranker
from rankers.methods.by_name import RerankerSpec, build_reranker
from rankers.prompting.model_families import Trained
from tests.tiny_encoder import bi_encoder_dir
from tests.tiny_model import tiny_model_dir

SETTINGS = "config_sentence_transformers.json"
TEXTS = ["a cat sleeps", "the dog", "a bird eats the fish", "day"]
QUERY = Query(id="q", text="what sleeps")
PASSAGES = [Passage(id=str(i), text=text) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bi_encoder_dir(tmp_path_factory.mktemp("plain"))


def prompted(source: Path, target: Path, default: str | None = None, **prompts: str) -> Path:
    """A copy of ``source`` with ``prompts``."""
    shutil.copytree(source, target)
    file = target / SETTINGS
    old = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(old | {"prompts": prompts, "default_prompt_name": default}))
    return target


@pytest.fixture(scope="module")
def asking(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asking") / "model"
    return prompted(plain, folder, query="what does ", document="of the night ")


def cosines(folder: Path, query: str, passage: str) -> NDArray[np.float32]:
    """By hand: the prompts written before the texts."""
    raw = SentenceEmbedder(folder).embed
    found: NDArray[np.float32] = (
        unit(raw([passage + text for text in TEXTS])) @ unit(raw([query + QUERY.text]))[0]
    )
    return found


def scores(reranker) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
    ranking = reranker.rank(QUERY, PASSAGES)
    return np.array(ranking.scores)[np.argsort(ranking.order)]


def test_the_prompts_of_the_folder_are_those_of_sentence_transformers(asking: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(asking), device="cpu")
    expected = unit(model.encode_document(TEXTS)) @ unit(model.encode_query([QUERY.text]))[0]
    by_hand = cosines(asking, "what does ", "of the night ")
    np.testing.assert_allclose(by_hand, expected, atol=1e-5)
    found = scores(bi_encoder_reranker(CachedEmbedder(embedder=SentenceEmbedder(asking))))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected - cosines(asking, "", "")).max() > 0.01


def test_options_override_them_even_by_nothing(asking: Path) -> None:
    def built(**options: object) -> NDArray[np.float32]:
        spec = RerankerSpec(method="bi-encoder", model=ModelSpec(name=str(asking)), options=options)
        made = build_reranker(spec)
        assert made.prompts.passage == options.get("passage_prompt", "of the night ")
        return scores(made.reranker)

    np.testing.assert_allclose(built(), cosines(asking, "what does ", "of the night "), atol=1e-5)
    bare = built(query_prompt="", passage_prompt="")
    np.testing.assert_allclose(bare, cosines(asking, "", ""), atol=1e-5)
    np.testing.assert_allclose(
        built(query_prompt="big "), cosines(asking, "big ", "of the night "), atol=1e-5
    )


@pytest.mark.parametrize(
    ("prompts", "default", "expected"),
    [
        ({"query": "what ", "document": ""}, None, ("what ", "")),
        ({"query": "what ", "document": "the "}, "query", ("what ", "the ")),
        ({"sts": "big ", "query": "what "}, "sts", ("what ", "")),
        ({"sts": "big "}, "sts", ("", "")),
        ({}, None, ("", "")),
    ],
)
def test_a_default_prompt_never_gets_between(
    plain: Path, tmp_path: Path, prompts, default, expected
) -> None:
    folder = prompted(plain, tmp_path / "model", default, **prompts)
    assert own_prompts(folder) == expected
    found = scores(bi_encoder_reranker(SentenceEmbedder(folder)))
    np.testing.assert_allclose(found, cosines(plain, *expected), atol=1e-5)


def test_a_memory_keeps_query_and_passage_apart(asking: Path) -> None:
    cached = CachedEmbedder(embedder=SentenceEmbedder(asking))
    query, passage, bare = (
        cached.embed_as("query", ["cat"]),
        cached.embed_as("passage", ["cat"]),
        cached.embed(["cat"]),
    )
    assert (cached.hits, cached.misses) == (0, 3)
    raw = SentenceEmbedder(asking).embed(["what does cat", "of the night cat", "cat"])
    np.testing.assert_allclose(np.vstack([query, passage, bare]), raw, atol=1e-5)
    assert (cached.embed_as("passage", ["cat"]) == passage).all()
    assert cached.hits == 1


def test_e2rank_compares_with_passages_as_the_model_reads_them(asking: Path, plain: Path) -> None:
    def ranked(folder: Path, **prompts: str) -> NDArray[np.float32]:
        embedder = SentenceEmbedder(folder)
        return scores(e2rank_reranker(embedder, feedback=1, instruction="a", **prompts))

    found, told = ranked(asking), ranked(plain, passage_prompt="of the night ")
    assert np.abs(found - ranked(plain)).max() > 0.01
    np.testing.assert_allclose(found, told, atol=1e-5)


def test_the_last_token_of_a_text_follows_its_prompt(tmp_path: Path) -> None:
    model = tiny_model_dir(tmp_path / "tiny")
    folder = prompted(model, tmp_path / "asking", query="Query: ", document="Text: ")
    asked = LastTokenEmbedder(folder, end_token="<|im_end|>")
    bare = LastTokenEmbedder(model, end_token="<|im_end|>")
    assert (asked.embed_as("query", ["a"]) == bare.embed(["Query: a"])).all()
    assert (asked.embed_as("passage", ["a"]) == bare.embed(["Text: a"])).all()
    assert (asked.embed_as("passage", ["a"], prompt="") == bare.embed(["a"])).all()


def test_a_dense_first_stage_reads_them_and_its_cache_tells_them_apart(
    asking: Path, plain: Path, tmp_path: Path
) -> None:
    corpus = {str(i): Document(id=str(i), title="", text=text) for i, text in enumerate(TEXTS)}
    toy = Collection(name="toy", corpus=corpus, queries={"q": QUERY.text}, qrels={})

    def run(model: Path, **prompts: str) -> NDArray[np.float32]:
        found = dense_run(toy, model, depth=4, cache_dir=tmp_path, **prompts)["q"]
        return np.array([doc.score for doc in sorted(found, key=lambda doc: doc.id)])

    own = cosines(asking, "what does ", "of the night ")
    np.testing.assert_allclose(run(asking), own, atol=1e-5)
    bare = run(asking, query_prompt="", document_prompt="")
    np.testing.assert_allclose(bare, cosines(asking, "", ""), atol=1e-5)
    np.testing.assert_allclose(run(plain), cosines(asking, "", ""), atol=1e-5)
    np.testing.assert_allclose(run(asking), own, atol=1e-5)
    assert len(list(tmp_path.rglob("documents.npy"))) == 3


def test_a_policy_is_served_with_the_prompts_it_was_trained_with(asking: Path) -> None:
    trained = Trained(template="encoder", query_prompt="big ")
    spec = RerankerSpec(method="bi-encoder", model=ModelSpec(name=str(asking), trained=trained))
    assert build_reranker(spec).prompts == ("big ", "of the night ")
