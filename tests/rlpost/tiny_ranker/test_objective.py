"""The pre-training objective: the model's own forward pass, and losses one can compute by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from rlpost.tiny_ranker.objective import MATCH_DEPTH, SCORE_DEPTH, SCORE_SHARPNESS, PretrainModel
from rlpost.tiny_ranker.problems import IGNORED, ProblemBatch


@pytest.fixture
def student() -> PretrainModel:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=24,
    )
    return PretrainModel(Qwen3ForCausalLM(config))


PROBLEMS = ProblemBatch(
    tokens_BS=np.array([[3, 4, 5, 6, 7, 8], [9, 4, 5, 2, 0, 0]]),
    answers_BS=np.array([[-100, -100, -100, 6, 7, 8], [-100, 4, 2, -100, -100, -100]]),
    matches_BS=np.array([[np.nan, 0.5, 0, np.nan, np.nan, np.nan], [0, *[np.nan] * 5]], np.float32),
    labels_BN=np.array([[2, 3], [1, -1]]),
    scores_BN=np.array([[1.0, 0.0], [2.0, 0.0]], np.float32),
)


def test_hidden_states_are_those_of_the_model(student: PretrainModel) -> None:
    tokens = torch.from_numpy(PROBLEMS.tokens_BS)
    with torch.no_grad():
        at_match, at_score, last = student.hidden(tokens)
        reference = student.model.model(tokens, output_hidden_states=True)
    for ours, theirs in (
        (at_match, reference.hidden_states[MATCH_DEPTH]),
        (at_score, reference.hidden_states[SCORE_DEPTH]),
        (last, reference.last_hidden_state),
    ):
        torch.testing.assert_close(ours, theirs)


def test_losses_by_hand(student: PretrainModel) -> None:
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
        student.match_head.bias.fill_(0.25)
        student.score_head.bias.fill_(0.5)
        losses = student.losses(PROBLEMS, student.hidden(torch.from_numpy(PROBLEMS.tokens_BS)))
    assert losses.answer.item() == pytest.approx(math.log(30))
    assert losses.match.item() == pytest.approx((0.25**2 + 0.25**2 + 0.25**2) / 3)
    # Equal guesses: the listwise part is log 2 for the list of two and 0 for the list of one;
    # squared errors .5^2, .5^2, 1.5^2 over three labels, halved.
    assert losses.score.item() == pytest.approx(math.log(2) / 2 + 0.5 * (0.25 + 0.25 + 2.25) / 3)
    assert losses.pairs_right.item() == 0  # one unequal pair, tied guesses
    assert losses.first_right.item() == 0  # argmax of equal logits is token 0
    assert SCORE_SHARPNESS > 0
    assert IGNORED == -100


def test_signals_reach_the_layers_below_them_only(student: PretrainModel) -> None:
    losses = student.losses(PROBLEMS, student.hidden(torch.from_numpy(PROBLEMS.tokens_BS)))
    losses.match.backward()  # type: ignore[no-untyped-call]
    grads = [
        any(p.grad is not None and bool(p.grad.any()) for p in layer.parameters())
        for layer in student.model.model.layers
    ]
    assert grads == [depth < MATCH_DEPTH for depth in range(4)]


def test_a_model_directory_is_replaced_whole(student: PretrainModel, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from rlpost.models.save import save_model
    from rlpost.tiny_ranker.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["some text"], vocab_size=60)
    save_model(student.model, tokenizer, tmp_path / "model")
    (tmp_path / "model" / "left-over").write_text("from the first save")
    save_model(student.model, tokenizer, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (tmp_path / "model" / "left-over").exists()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert loaded.dtype == torch.bfloat16
    for name, weight in student.model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.to(torch.bfloat16))
    assert loaded.generation_config.temperature == 1.0
    assert loaded.generation_config.top_k == 0
