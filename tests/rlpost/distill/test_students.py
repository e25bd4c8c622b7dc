"""Students: their losses against plain transformers and by hand, and unchanged by batching."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from rankers.backends.sentence_load import own_prompts
from rankers.errors import UserError
from rankers.methods.first import first_messages
from rankers.prompting.templates import listwise_messages
from rankers.training.losses import e2rank_joint, first_joint, importance_nll
from rlpost.distill.causal import CausalStudent, First, Full, Recipe
from rlpost.distill.config import E2RankStudent
from rlpost.distill.embedding import EmbeddingStudent
from rlpost.distill.lists import TeacherList
from rlpost.models.encoder import Encoder
from rlpost.models.loading import load_bare_tokenizer, load_tokenizer, render
from rlpost.types import Message
from rlpost.weights.lora import LoraSettings
from tests.tiny_encoder import bi_encoder_dir

LISTS = [
    TeacherList(query="sort a list", passages=("in place", "a key", "a path"), ranks=(2, 1, 3)),
    TeacherList(query="read", passages=("lines of a file", "numbers", "words"), ranks=(3, 2, 1)),
]


def causal(folder: Path, recipe: Recipe, **settings: object) -> CausalStudent:
    defaults = {
        "recipe": recipe,
        "tokenizer": load_tokenizer(folder),
        "lora": None,
        "dtype": "float32",
        "seed": 0,
        "max_length": 2048,
        "tokens_per_batch": 2048,
    }
    return CausalStudent(folder, **(defaults | settings))  # type: ignore[arg-type]


def total(student: CausalStudent | EmbeddingStudent, lists: list[TeacherList]) -> torch.Tensor:
    return torch.stack(list(student.losses(lists))).sum()


def prompt_ids(folder: Path, chat: list[dict[str, str]]) -> list[int]:
    turns = [Message(role=t["role"], content=t["content"]) for t in chat]  # type: ignore[arg-type]
    return list(render(load_tokenizer(folder), turns))


def logits_of(folder: Path, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """[T, V] at the positions that predict ``answer``."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0]
    found: torch.Tensor = logits[len(prompt) - 1 : -1]
    return found


def nll(logits: torch.Tensor, answer: list[int]) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="none")


def test_first_is_the_text_and_the_first_letter(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    problem = LISTS[0]
    answer = tokenizer.encode("[B] > [A] > [C]", add_special_tokens=False)
    answer.append(tokenizer.eos_token_id)
    prompt = prompt_ids(tiny_model, first_messages(problem.query, problem.passages))
    logits = logits_of(tiny_model, prompt, answer)
    letters = [tokenizer.encode(letter, add_special_tokens=False)[0] for letter in "ABC"]
    expected = first_joint(
        nll(logits, answer).mean(), logits[1, letters][None], torch.tensor([problem.ranks])
    )
    student = causal(tiny_model, First(tokenizer, num=3, weight=10.0))
    torch.testing.assert_close(total(student, [problem]), expected, rtol=1e-4, atol=1e-5)


def test_full_ranking_weighs_early_ranks(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    problem = LISTS[0]
    answer = tokenizer.encode("[2] > [1] > [3]", add_special_tokens=False)
    whole = [*answer, tokenizer.eos_token_id]
    chat = listwise_messages(problem.query, problem.passages, template="compact")
    losses = nll(logits_of(tiny_model, prompt_ids(tiny_model, chat), whole), whole)
    separator = next(i for i in answer if tokenizer.decode([i]).strip() == ">")
    labels = torch.tensor(answer)
    weighted = importance_nll(losses[:-1], labels, separator) * len(answer)
    expected = (weighted + losses[-1]) / len(whole)
    student = causal(tiny_model, Full(tokenizer, template="compact"))
    torch.testing.assert_close(total(student, [problem]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["first", "full"])
def test_a_step_is_the_mean_of_its_lists_however_packed(tiny_model: Path, kind: str) -> None:
    tokenizer = load_tokenizer(tiny_model)
    recipe: Recipe = (
        First(tokenizer, num=3, weight=10.0)
        if kind == "first"
        else Full(tokenizer, template="rank_zephyr")
    )
    alone = torch.stack([total(causal(tiny_model, recipe), [problem]) for problem in LISTS])
    for budget in (4096, 1200):
        student = causal(tiny_model, recipe, tokens_per_batch=budget)
        torch.testing.assert_close(total(student, LISTS), alone.mean(), rtol=1e-4, atol=1e-5)


def test_a_list_that_does_not_fit_is_refused(tiny_model: Path) -> None:
    student = causal(tiny_model, Full(load_tokenizer(tiny_model), template="compact"), max_length=9)
    with pytest.raises(UserError, match=r"model\.max_length is 9: raise it"):
        total(student, LISTS)


def test_e2rank_is_its_loss_on_the_embeddings(tmp_path: Path) -> None:
    folder = bi_encoder_dir(tmp_path, context=128)
    tokenizer = load_bare_tokenizer(folder)
    short = [
        TeacherList(query="cat", passages=("a", "b"), ranks=(2, 1)),
        TeacherList(query="dog", passages=("the bird", "day"), ranks=(1, 2)),
    ]
    student = EmbeddingStudent(
        folder,
        recipe=E2RankStudent(kind="e2rank"),
        tokenizer=tokenizer,
        lora=LoraSettings(rank=2, alpha=4.0),
        dtype="float32",
        seed=0,
        max_length=512,
    )
    encoder = Encoder(folder)

    def embedded(texts: list[str]) -> torch.Tensor:
        return encoder.embed([tuple(tokenizer(text)["input_ids"]) for text in texts])

    instruction = (
        "Given a web search query and some relevant documents, rerank the documents that answer "
        "the query:\nDocuments:\n"
    )
    prompts = [
        f"{instruction}[1] a\n[2] b\nSearch Query: cat",
        f"{instruction}[1] the bird\n[2] day\nSearch Query: dog",
    ]
    expected = e2rank_joint(
        embedded(["cat", "dog"]),
        embedded(prompts),
        torch.stack([embedded(["a", "b"]), embedded(["the bird", "day"])]),
        torch.tensor([[2, 1], [1, 2]]),
    )
    torch.testing.assert_close(total(student, short), expected, rtol=1e-4, atol=1e-5)


def test_first_on_compact_is_the_text_and_the_first_number(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    problem = LISTS[0]
    answer = tokenizer.encode("[2] > [1] > [3]", add_special_tokens=False)
    answer.append(tokenizer.eos_token_id)
    prompt = prompt_ids(tiny_model, listwise_messages(problem.query, problem.passages))
    logits = logits_of(tiny_model, prompt, answer)
    numbers = [tokenizer.encode(f"[{i}]", add_special_tokens=False)[0] for i in (1, 2, 3)]
    expected = first_joint(
        nll(logits, answer).mean(), logits[0, numbers][None], torch.tensor([problem.ranks])
    )
    student = causal(tiny_model, First(tokenizer, num=3, weight=10.0, template="compact"))
    torch.testing.assert_close(total(student, [problem]), expected, rtol=1e-4, atol=1e-5)


def test_a_bi_encoder_learns_after_the_prompts_it_is_saved_with(tmp_path: Path) -> None:
    folder = bi_encoder_dir(tmp_path, context=256)
    tokenizer = load_bare_tokenizer(folder)
    problems = [TeacherList(query="cat", passages=("a", "b"), ranks=(2, 1))]

    def student(**prompts: str) -> EmbeddingStudent:
        return EmbeddingStudent(
            folder,
            recipe=E2RankStudent(kind="e2rank", factor=0.0, **prompts),
            tokenizer=tokenizer,
            lora=None,
            dtype="float32",
            seed=0,
            max_length=256,
        )

    asking = student(query_prompt="what ", passage_prompt="the ")
    written = TeacherList(query="what cat", passages=("the a", "the b"), ranks=(2, 1))
    torch.testing.assert_close(total(asking, problems), total(student(), [written]))
    asking.save(tmp_path / "run")
    assert own_prompts(tmp_path / "run" / "model") == ("what ", "the ")
    assert Encoder(tmp_path / "run" / "model").prompts == ("what ", "the ")
