"""A checkpoint is read whole or refused, whoever reads it; what nothing depends on may be gone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rankers import DataError
from rankers.backends.hf import HfBackend
from rankers.backends.last_token import LastTokenEmbedder
from rankers.backends.sentence import SentenceCrossScorer, SentenceEmbedder
from rankers.backends.weights import check_causal
from rankers.errors import UserError
from rlpost.models.loading import load_base
from tests.rankers.backends.models import random_adapter_dir, tiny_t5_dir
from tests.tiny_encoder import bi_encoder_dir, cross_encoder_dir
from tests.tiny_model import tiny_model_dir

Tensors = dict[str, torch.Tensor]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "bi": bi_encoder_dir(tmp_path_factory.mktemp("bi")),
        "cross": cross_encoder_dir(tmp_path_factory.mktemp("cross")),
        "causal": tiny_model_dir(tmp_path_factory.mktemp("causal"), tied=False),
        "tied": tiny_model_dir(tmp_path_factory.mktemp("tied")),
        "t5": tiny_t5_dir(tmp_path_factory.mktemp("t5")),
    }


def altered(
    source: Path, target: Path, change: Callable[[Tensors], Tensors], file: str = WEIGHTS
) -> Path:
    """A copy of ``source`` with other tensors."""
    shutil.copytree(source, target)
    save_file(change(load_file(target / file)), target / file, metadata={"format": "pt"})
    return target


def configured(folder: Path, **changes: object) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


def without(*parts: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {
        key: tensor for key, tensor in tensors.items() if not any(part in key for part in parts)
    }


def prefixed(tensors: Tensors) -> Tensors:
    return {f"other.{key}": tensor for key, tensor in tensors.items()}


def test_a_bi_encoder_is_no_cross_encoder(made: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=r"lacks classifier\.bias, classifier\.weight .*bi-encoder"):
        SentenceCrossScorer(made["bi"])


def test_a_cross_encoder_is_no_bi_encoder(made: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=r"is a BertForSequenceClassification.*cross-encoder"):
        SentenceEmbedder(made["cross"])


def test_a_causal_model_alone_is_no_cross_encoder(made: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=r"is a Qwen2ForCausalLM.*--method pointwise"):
        SentenceCrossScorer(made["tied"])


@pytest.mark.parametrize("change", [without("classifier.bias"), without("pooler"), prefixed])
def test_a_cross_encoder_needs_its_pooler_and_its_head(made, change, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks"):
        SentenceCrossScorer(altered(made["cross"], tmp_path / "model", change))


def test_a_head_of_another_shape_is_named(made, tmp_path: Path) -> None:
    def narrow(tensors: Tensors) -> Tensors:
        return tensors | {"classifier.weight": tensors["classifier.weight"][:, :8].contiguous()}

    with pytest.raises(DataError, match=r"lacks classifier\.weight of .*other shapes"):
        SentenceCrossScorer(altered(made["cross"], tmp_path / "model", narrow))


def test_a_mean_of_tokens_does_not_need_the_pooler(made, tmp_path: Path) -> None:
    short = altered(made["bi"], tmp_path / "model", without("pooler"))
    texts = ["a cat sleeps", "dog"]
    assert (SentenceEmbedder(short).embed(texts) == SentenceEmbedder(made["bi"]).embed(texts)).all()


@pytest.mark.parametrize("change", [without("layer.1.output"), prefixed])
def test_an_embedder_lacks_layers(made, change, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks .* of a BertModel"):
        SentenceEmbedder(altered(made["bi"], tmp_path / "model", change))


def test_an_embedder_lacks_the_weights_of_a_module_of_its_own(made, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense

    model = SentenceTransformer(str(made["bi"]), device="cpu")
    model.append(Dense(16, 4))
    model.save(str(tmp_path / "dense"), create_model_card=False)
    assert SentenceEmbedder(tmp_path / "dense").embed(["cat"]).shape == (1, 4)
    (weights,) = (tmp_path / "dense").glob("2_Dense/*.safetensors")
    save_file({"linear.bias": load_file(weights)["linear.bias"]}, weights)
    with pytest.raises(DataError, match=r"linear\.weight"):
        SentenceEmbedder(tmp_path / "dense")


@pytest.mark.parametrize("kind", ["SparseEncoder", "CrossEncoder"])
def test_another_kind_of_sentence_model_is_no_embedder(made, kind: str, tmp_path: Path) -> None:
    shutil.copytree(made["bi"], tmp_path / "model")
    (tmp_path / "model" / "config_sentence_transformers.json").write_text(
        json.dumps({"model_type": kind})
    )
    with pytest.raises(DataError, match=f"is a {kind} and no SentenceTransformer"):
        SentenceEmbedder(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (without("lm_head"), r"lacks lm_head\.weight of"),
        (without("layers.1.mlp.up"), r"lacks model\.layers\.1\.mlp\.up_proj\.weight of"),
        (prefixed, "lacks all weights"),
    ],
)
def test_no_reader_of_causal_models_makes_weights_up(made, change, names, tmp_path: Path) -> None:
    folder = altered(made["causal"], tmp_path / "model", change)
    with pytest.raises(DataError, match=names):
        HfBackend(folder)
    with pytest.raises(DataError, match=names):
        check_causal(folder)
    with pytest.raises(UserError, match=names):
        load_base(folder, "float32")


def test_a_tied_head_may_be_gone(made, tmp_path: Path) -> None:
    folder = altered(made["tied"], tmp_path / "model", without("lm_head"))
    check_causal(folder)
    load_base(folder, "float32")


def test_a_vocabulary_of_another_size_is_refused(made, tmp_path: Path) -> None:
    shutil.copytree(made["causal"], tmp_path / "model")
    with pytest.raises(DataError, match=r"has the shape \(\d+, 64\) in the files and \(99, 64\)"):
        check_causal(configured(tmp_path / "model", vocab_size=99))


def test_a_judge_does_not_write(made, tmp_path: Path) -> None:
    def judge(tensors: Tensors) -> Tensors:
        return tensors | {"score.weight": torch.zeros(1, 64)}

    folder = altered(made["tied"], tmp_path / "model", judge)
    with pytest.raises(DataError, match=r"is no Qwen2ForCausalLM.*score\.weight"):
        HfBackend(folder)
    with pytest.raises(DataError, match=r"is no Qwen2Model.*score\.weight"):
        LastTokenEmbedder(folder, end_token="<|im_end|>")


def test_an_encoder_decoder_lacks_a_layer(made, tmp_path: Path) -> None:
    folder = altered(made["t5"], tmp_path / "model", without("decoder.block.1"))
    with pytest.raises(DataError, match=r"lacks decoder\.block\.1"):
        HfBackend(folder)


def test_an_adapter_of_another_model_is_refused(made, tmp_path: Path) -> None:
    adapter = random_adapter_dir(made["causal"], tmp_path / "adapter")
    check_causal(made["causal"], adapter)
    HfBackend(made["causal"], adapter=adapter)

    def renamed(tensors: Tensors) -> Tensors:
        return {key.replace("layers", "blocks"): tensor for key, tensor in tensors.items()}

    def cut(tensors: Tensors) -> Tensors:
        return {key: tensor[..., :3].contiguous() for key, tensor in tensors.items()}

    for name, change in {"renamed": renamed, "half": without("lora_B"), "cut": cut}.items():
        strange = altered(adapter, tmp_path / name, change, "adapter_model.safetensors")
        with pytest.raises(DataError, match="base model"):
            check_causal(made["causal"], strange)
        with pytest.raises(DataError, match="base model"):
            HfBackend(made["causal"], adapter=strange)


def test_an_adapter_of_an_encoder_is_held_to_the_same(made, tmp_path: Path) -> None:
    adapter = random_adapter_dir(made["causal"], tmp_path / "adapter")
    with pytest.raises(DataError, match="does not fit its model"):
        SentenceEmbedder(made["bi"], adapter=adapter)
