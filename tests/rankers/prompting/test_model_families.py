"""Which prompts a model gets: recognised by its name, given by the user, or refused."""

import json
from pathlib import Path

import pytest

from rankers.errors import DataError
from rankers.methods.by_name import METHODS
from rankers.prompting.model_families import FAMILIES, family_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("tiny-ranker", "compact"),
        ("castorini/rank_zephyr_7b_v1_full", "rank_zephyr"),
        ("castorini/first_mistral", "first"),
        ("rryisthebest/First_Model", "first"),
        ("ielabgroup/Rank-R1-7B-v0.1", "rank_r1"),
        ("ielabgroup/Rank-R1-32B-v0.2", "rank_r1_0.2"),
        ("ulab-ai/IRanker-3B", "iranker"),
        ("Alibaba-NLP/E2Rank-0.6B", "e2rank"),
        ("Qwen/Qwen3-Reranker-0.6B", "qwen3_reranker"),
        ("castorini/monot5-base-msmarco", "mono_t5"),
        ("castorini/duot5-3b-msmarco", "duo_t5"),
        ("google/flan-t5-large", "t5"),
        ("Qwen/Qwen2.5-7B-Instruct", "chat"),
        ("google/gemma-2-2b-it", "chat"),
        ("/cache/models--castorini--rank_zephyr_7b_v1_full/snapshots/0f1e2d", "rank_zephyr"),
    ],
)
def test_models_are_recognised_by_their_published_names(model: str, family: str) -> None:
    assert family_of(model)[0] == family


@pytest.mark.parametrize(
    "model", ["my-reranker", "BAAI/bge-reranker-v2-gemma", "first-aid", "Qwen3-4B"]
)
def test_an_unknown_model_is_refused_with_the_list(model: str) -> None:
    with pytest.raises(DataError, match="--template") as error:
        family_of(model)
    assert all(f"\n  {name} " in str(error.value) for name in FAMILIES)


def test_what_the_user_says_goes_before_what_the_name_says() -> None:
    assert family_of("tiny-ranker", template="rankgpt")[0] == "rankgpt"
    with pytest.raises(DataError, match="no template 'zephyr'"):
        family_of("tiny-ranker", template="zephyr")


def test_the_name_may_be_in_the_config_or_in_an_adapters_base(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_name_or_path": "x/Qwen3-Reranker-4B"}))
    assert family_of(str(tmp_path))[0] == "qwen3_reranker"
    assert family_of("hub/renamed", folder=tmp_path)[0] == "qwen3_reranker"
    adapter = tmp_path / "policy-v7"
    adapter.mkdir()
    config = {"base_model_name_or_path": str(tmp_path)}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    assert family_of(str(adapter))[0] == "qwen3_reranker"


def test_encoders_are_recognised_by_their_files(tmp_path: Path) -> None:
    classes = {"architectures": ["BertForSequenceClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(classes))
    assert family_of(str(tmp_path))[0] == "encoder"
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    (tmp_path / "modules.json").write_text("[]")
    assert family_of(str(tmp_path))[0] == "encoder"


def test_every_method_has_a_family_and_every_family_only_methods_that_exist() -> None:
    named = {method for family in FAMILIES.values() for method in family.methods}
    assert named == set(METHODS)


NAMED = {
    "multilingual-e5-small-instruct": "encoder",
    "e5-mistral-7b-instruct": "encoder",
    "my-reranker-it": "encoder",
    "Qwen3-Reranker-0.6B-seq-cls": "encoder",
    "qwen3-reranker-embed": "encoder",
    "rank_zephyr_embedder-2024-10-01": "encoder",
    "flan-t5-encoder": "encoder",
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    ("files", "classes"),
    [
        (["modules.json"], ["XLMRobertaModel"]),
        (["modules.json"], ["MistralForCausalLM"]),
        (["config_sentence_transformers.json"], ["Qwen2ForCausalLM"]),
        ([], ["Qwen3ForSequenceClassification"]),
        ([], ["BertModel"]),
        ([], ["T5EncoderModel"]),
    ],
)
def test_a_models_files_go_before_its_name(
    name: str, files: list[str], classes: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    config = {"architectures": classes, "_name_or_path": f"x/{name}"}
    (folder / "config.json").write_text(json.dumps(config))
    for file in files:
        (folder / file).write_text("[]")
    assert family_of(str(folder))[0] == "encoder"
    assert family_of(f"hub/{name}", folder=folder)[0] == "encoder"
    adapter = tmp_path / "Adapter-Instruct"
    adapter.mkdir()
    base = {"base_model_name_or_path": str(folder)}
    (adapter / "adapter_config.json").write_text(json.dumps(base))
    assert family_of(str(adapter), folder=folder)[0] == "encoder"
    assert family_of(str(adapter))[0] == "encoder"


@pytest.mark.parametrize(
    ("name", "classes", "family"),
    [
        ("monot5-instruct", ["T5ForConditionalGeneration"], "mono_t5"),
        ("flan-t5-small-2024-01-01", ["T5ForConditionalGeneration"], "t5"),
        ("Qwen2.5-0.5B-INSTRUCT-2024.02.20", ["Qwen2ForCausalLM"], "chat"),
        ("E2Rank-0.6B", ["Qwen3ForCausalLM"], "e2rank"),
        ("Rank-R1-7B-2020.2", ["Qwen2ForCausalLM"], "rank_r1"),
        ("gpt2-chat", ["GPT2LMHeadModel"], "chat"),
        ("monot5-like-causal-it", ["Qwen2ForCausalLM"], "chat"),
    ],
)
def test_among_models_of_a_kind_the_name_tells(
    name: str, classes: list[str], family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    config = {"architectures": classes, "is_encoder_decoder": classes[0].startswith("T5")}
    (folder / "config.json").write_text(json.dumps(config))
    assert family_of(str(folder))[0] == family
    assert family_of(f"{folder}/")[0] == family
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert family_of(str(link))[0] == family
    monkeypatch.chdir(folder)
    assert family_of(".")[0] == family


@pytest.mark.parametrize(
    "name", ["my-first-model", "multiranker-7b", "biranker", "frank-llama", "prank_mistral"]
)
def test_a_family_is_no_part_of_another_word(name: str) -> None:
    with pytest.raises(DataError, match="--template"):
        family_of(name)
