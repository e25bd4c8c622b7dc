"""Whatever a reward returns is either a finite score or an error that says whose and what."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch

from rlpost.errors import RewardError
from rlpost.rollout.collect import scored_rollouts
from rlpost.types import Completion, ListScore, Prompt, Score, Segment

PROMPT = Prompt(id="p7", messages=(), token_ids=(1, 2))
COMPLETIONS = tuple(
    Completion(token_ids=(n,), logprobs_T=(-1.0,), versions_T=(0,), finish="stop", text=str(n))
    for n in range(3)
)


def second(answer: object) -> Callable[[Prompt, Completion], object]:
    """A reward that is right but for the second completion."""

    def reward(prompt: Prompt, completion: Completion) -> object:
        return answer if completion.text == "1" else Score(total=1.0)

    return reward


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (0.25, "0.25 (float) was returned"),
        (None, "None was returned"),
        ("1.0", "'1.0' (str) was returned"),
        (torch.tensor(0.5), "tensor(0.5000) (Tensor) was returned"),
        ({"total": 1.0}, "{'total': 1.0} (dict) was returned"),
        (Score(total=None), "total is None"),
        (Score(total="0.5"), "total is '0.5' (str)"),
        (Score(total=torch.tensor(0.5)), "total is tensor(0.5000) (Tensor)"),
        (Score(total=np.array([0.5])), "total is array([0.5]) (ndarray)"),
        (Score(total=1j), "total is 1j (complex)"),
        (Score(total=math.inf), "total is inf"),
        (Score(total=-math.inf), "total is -inf"),
        (Score(total=math.nan), "total is nan"),
        (Score(total=np.float32("nan")), "total is nan"),
        (Score(total=10**400), "total is inf"),
        (Score(total=1e200), "total is 1e+200: use a finite number of at most 1e+30"),
        (Score(total=1.0, parts={"acc": None}), "part 'acc' is None"),
        (Score(total=1.0, parts={"acc": math.inf}), "part 'acc' is inf"),
        (Score(total=1.0, parts={3: 1.0}), "parts is {3: 1.0} (dict)"),
        (Score(total=1.0, parts=None), "parts is None"),
        (
            Score(total=1.0, places=ListScore(gains_K=(1.0, math.nan), segments=())),
            "gain of place 2 is nan",
        ),
        (Score(total=1.0, places=(1.0,)), "places is (1.0,) (tuple)"),
    ],
)
def test_what_is_no_score_is_named_with_its_prompt_and_sibling(answer, shown: str) -> None:
    with pytest.raises(RewardError) as raised:
        scored_rollouts(PROMPT, COMPLETIONS, second(answer))
    text = str(raised.value)
    assert text.startswith("reward of prompt 'p7', completion 2 of 3: ")
    assert shown in text


@pytest.mark.parametrize(
    ("total", "plain"),
    [(True, 1.0), (3, 3.0), (np.float32(0.5), 0.5), (np.int64(2), 2.0), (Fraction(1, 4), 0.25)],
)
def test_any_real_number_becomes_a_plain_float(total, plain: float) -> None:
    rollouts = scored_rollouts(
        PROMPT, COMPLETIONS, second(Score(total=total, parts={"acc": total}))
    )
    assert [type(rollout.score.total) for rollout in rollouts] == [float] * 3
    assert rollouts[1].score == Score(total=plain, parts={"acc": plain})


def test_a_part_may_not_apply_and_places_stay() -> None:
    places = ListScore(gains_K=(1, 0), segments=(Segment(1, 0),))
    answer = Score(total=0.5, parts={"acc": math.nan}, places=places)
    score = scored_rollouts(PROMPT, COMPLETIONS, second(answer))[1].score
    assert math.isnan(score.parts["acc"])
    assert score.places == places


class Together:
    """A reward that judges siblings in one call."""

    def __init__(self, answers: object) -> None:
        self._answers = answers

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        raise AssertionError("siblings are judged together")

    def group(self, prompt: Prompt, completions_G: Sequence[Completion]) -> object:
        return self._answers


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ([Score(total=1.0)] * 2, "2 scores were returned for 3 completions"),
        ([Score(total=1.0)] * 4, "4 scores were returned for 3 completions"),
        ([], "0 scores were returned for 3 completions"),
        (None, "None was returned for 3 completions"),
        (0.5, "0.5 (float) was returned for 3 completions"),
        ("abc", "'abc' (str) was returned for 3 completions"),
        ({0: 1, 1: 2, 2: 3}, "(dict) was returned for 3 completions"),
        ([Score(total=1.0), 0.5, 0.5], "completion 2 of 3: 0.5 (float) was returned"),
        ([Score(total=1.0)] * 2 + [Score(total=math.nan)], "completion 3 of 3: total is nan"),
    ],
)
def test_siblings_judged_together_get_one_score_each(answers: object, sentence: str) -> None:
    with pytest.raises(RewardError) as raised:
        scored_rollouts(PROMPT, COMPLETIONS, Together(answers))
    text = str(raised.value)
    assert text.startswith("reward of prompt 'p7'")
    assert sentence in text


def test_scores_of_siblings_may_come_from_a_generator() -> None:
    answers = (Score(total=n) for n in (0, 1, 2))
    rollouts = scored_rollouts(PROMPT, COMPLETIONS, Together(answers))
    assert [rollout.score.total for rollout in rollouts] == [0.0, 1.0, 2.0]
