"""The warm start: the answer alone is learned, the same seed gives the same weights."""

from pathlib import Path

import pytest

from rankers.errors import UserError
from rlpost.models.loading import checkpoint_tensors, load_tokenizer, render
from rlpost.rollout.engines.hf import HfEngine
from rlpost.types import Message, Prompt, Sampling
from rlpost.warm_start.example import SftExample
from rlpost.warm_start.sft import warm_start


def example(model: Path, words: str, answer: str) -> SftExample:
    messages = [Message(role="user", content=f"Query: {words}\nRanking:")]
    return SftExample(prompt_ids=render(load_tokenizer(model), messages), answer=answer)


@pytest.mark.slow
def test_answers_are_learned_and_seeds_repeat(tiny_model: Path, tmp_path: Path) -> None:
    examples = [
        example(tiny_model, "sort a list", "[2] > [1] > [3]"),
        example(tiny_model, "the quick brown fox jumps", "[3] > [1] > [2]"),
    ] * 8
    settings = {"steps": 60, "learning_rate": 5e-3, "batch_size": 8, "seed": 5}
    first = warm_start(tiny_model, examples, tmp_path / "one", **settings)  # type: ignore[arg-type]
    warm_start(tiny_model, examples, tmp_path / "two", **settings)  # type: ignore[arg-type]

    assert first["loss_last"] < 0.2 < 1 < first["loss_first"]
    one, two = (dict(checkpoint_tensors(tmp_path / name)) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(bool((one[name] == two[name]).all()) for name in one)

    engine = HfEngine(tmp_path / "one")
    for learned in examples[:2]:
        prompt = Prompt(id="p", messages=(), token_ids=learned.prompt_ids)
        sampling = Sampling(temperature=0.0, max_tokens=20)
        ((answer,),) = engine.generate([prompt], seeds_P_G=[[0]], sampling=sampling)
        assert answer.text == learned.answer
        assert answer.finish == "stop"  # the end of the turn was learned too


def test_no_examples_is_a_mistake_of_the_user(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got no examples"):
        warm_start(
            tiny_model, [], tmp_path / "out", steps=1, learning_rate=1e-3, batch_size=1, seed=0
        )


@pytest.mark.slow
def test_the_head_at_answer_tokens_alone_gives_the_loss_of_trl(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlpost.warm_start.answer_trainer import AnswerTrainer

    examples = [example(tiny_model, "sort a list", "[2] > [1]")] * 4
    examples += [example(tiny_model, "jumps", "[1] > [3] > [2]")] * 4
    settings = {"steps": 4, "learning_rate": 1e-3, "batch_size": 4, "seed": 5}
    ours = warm_start(tiny_model, examples, tmp_path / "ours", **settings)  # type: ignore[arg-type]
    monkeypatch.delattr(AnswerTrainer, "compute_loss")
    theirs = warm_start(tiny_model, examples, tmp_path / "trl", **settings)  # type: ignore[arg-type]
    assert ours["loss_first"] == pytest.approx(theirs["loss_first"], rel=1e-5)
    assert ours["loss_last"] == pytest.approx(theirs["loss_last"], rel=1e-4)
