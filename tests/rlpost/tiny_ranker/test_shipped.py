"""The model that comes with the package: small, complete, and able to rank by matching words."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rankers.methods.rank_r1 import rank_r1_reward
from rankers.prompting.parsing import parse_permutation
from rankers.prompting.templates import listwise_messages
from rlpost.models.loading import (
    checkpoint_tensors,
    load_tokenizer,
    render,
    resolve_model_path,
    shipped_model,
)
from rlpost.rollout.engines.hf import HfEngine
from rlpost.types import Message, Prompt, Sampling

GREEDY = Sampling(temperature=0.0, max_tokens=12)
PASSAGES = {
    "read a compressed file": "GzipFile.open Opens the compressed file and lets one read its bytes",
    "normalise a vector": "Vector.unit The vector divided by its norm; an error where it is zero",
    "list of all threads alive": "enumerate All threads that are alive, the main thread included",
    "parse a date from text": "strptime The date that a text holds, parsed by a format string",
    "remove an item from a cache": "Cache.evict The oldest item of the cache goes",
}


def prompts() -> list[Prompt]:
    """Each query with all passages: the right one stands at 0, 1, 2, 3, 4."""
    tokenizer = load_tokenizer(shipped_model())
    made = []
    for query in PASSAGES:
        (turn,) = listwise_messages(query, list(PASSAGES.values()))
        messages = (Message(role="user", content=turn["content"]),)
        made.append(Prompt(id=query, messages=messages, token_ids=render(tokenizer, messages)))
    return made


def test_it_is_small_and_complete() -> None:
    folder = shipped_model()
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12e6
    tensors = dict(checkpoint_tensors(folder))
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"torch.bfloat16"}
    assert 1e6 <= sum(tensor.numel() for tensor in tensors.values()) <= 5e6
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    assert "lm_head.weight" in tensors, "an output head of its own: vLLM reloads tied ones wrongly"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["max_position_embeddings"] >= 2048
    card = (folder / "README.md").read_text("utf-8")
    for part in ("license: apache-2.0", "CC BY-SA", "CC BY 4.0", "--seed", "| pydoc ("):
        assert part in card


def test_its_name_resolves_without_torch() -> None:
    code = (
        "import sys; from rlpost.models.loading import resolve_model_path as path;"
        "print(path('tiny-ranker'), path('some/model'), 'torch' in sys.modules)"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert output == [str(shipped_model()), "some/model", "False"]
    assert Path(resolve_model_path("tiny-ranker")) == shipped_model()


def test_every_label_is_one_token() -> None:
    tokenizer = load_tokenizer(shipped_model())
    labels = [f"[{number}]" for number in range(1, 21)]
    assert (
        tokenizer.convert_ids_to_tokens(tokenizer(" > ".join(labels))["input_ids"])
        == [piece for label in labels for piece in (label, ">")][:-1]
    )


def test_it_can_write_the_tags_of_reasoning() -> None:
    tokenizer = load_tokenizer(shipped_model())
    text = "<think> [2] > [1] </think>\n<answer> [2] </answer>"
    decoded = tokenizer.decode(tokenizer(text)["input_ids"])
    assert rank_r1_reward(decoded, 2) == 1.0
    assert "x < items" in tokenizer.decode(tokenizer("x < items > y")["input_ids"])


def test_it_finds_the_passage_that_shares_words() -> None:
    asked = prompts()
    answers = HfEngine(shipped_model()).generate(
        asked, seeds_P_G=[[0]] * len(asked), sampling=GREEDY
    )
    parsed = [parse_permutation(answer.text, len(PASSAGES)) for (answer,) in answers]
    assert [p.order[0] for p in parsed] == [0, 1, 2, 3, 4]
    assert all(p.well_formed for p in parsed)


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_answers_as_transformers_does() -> None:
    from rlpost.rollout.engines.vllm import VllmEngine

    asked = prompts()
    seeds = [[0]] * len(asked)
    expected = HfEngine(shipped_model()).generate(asked, seeds_P_G=seeds, sampling=GREEDY)
    engine = VllmEngine(shipped_model(), max_length=256, kv_cache_mb=64)
    try:
        found = engine.generate(asked, seeds_P_G=seeds, sampling=GREEDY)
    finally:
        engine.close()
    assert [a.token_ids for (a,) in found] == [a.token_ids for (a,) in expected]
