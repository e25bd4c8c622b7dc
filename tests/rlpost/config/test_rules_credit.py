"""Credit that `rlpost check` refuses because nothing, or nothing but noise, would come of it."""

from typing import Any, get_args

import pytest

from rankers.errors import UserError
from rankers.methods.iranker import ExclusionReward
from rlpost.config import parse
from rlpost.config.run import RunConfig
from rlpost.config.task import IRankerTask, Task
from rlpost.credit.assign import gdpo
from tests.example_run import group


def check(values: dict[str, Any]) -> RunConfig:
    return parse(values, origin="test")


def weighed(weights: dict[str, float], **task: Any) -> dict[str, Any]:
    return {"algorithm": {"credit": {"kind": "gdpo", "weights": weights}}, "task": task}


RERANK, RANK_R1 = {"kind": "rerank"}, {"kind": "rank_r1"}
UNLIKELY = {"reward": {"unlikeliness": {}}}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (weighed({"nDCG": 1.0}, **RERANK), "weights.nDCG: .* did you mean 'ndcg'.*ndcg, format"),
        (weighed({"formatt": 1.0, "ndcg": 1.0}, **RERANK), "did you mean 'format'"),
        (weighed({"accuracy": 1.0}, kind="recommend"), "has no such part; its parts are ndcg, rec"),
        (weighed({"exclusions": 1.0}, kind="iranker"), "did you mean 'exclusion'"),
        (weighed({"ndcg": 1.0}, **RANK_R1), "the reward of task.kind 'rank_r1' has none"),
        (weighed({"ndcg": 0.0, "format": 0.0}, **RERANK), "are all 0"),
        (weighed({"ndcg": float("nan")}, **RERANK), "finite number"),
        (
            {
                "algorithm": {"credit": {"kind": "rank"}, "objective": {"kind": "gspo"}},
                "task": {"kind": "recommend"},
            },
            "would be averaged: use rank_grpo",
        ),
        ({"algorithm": UNLIKELY, "task": {"kind": "iranker"}}, "'iranker' has negative ones"),
        (
            {"algorithm": UNLIKELY, "task": {"kind": "recommend", "invalid_penalty": 0.5}},
            "invalid_penalty 0.5 makes negative ones",
        ),
        (
            {"algorithm": {"dynamic_sampling": {"max_ratio": 1.05}}, "groups_per_step": 16},
            "leave out none.*use at least 1.0625",
        ),
        ({"rollout": {"temperature": 0.001}}, "greater than or equal to 0.01"),
        ({"rollout": {"group_size": 1}}, "greater than or equal to 2"),
        ({"learner": {"minibatches": 999}}, "a step has only 128 completions"),
        ({"model": {"lora": {"target_modules": []}}}, "model.lora.target_modules is empty"),
        (
            {"task": {"kind": "rerank", "reward": {"method": "list-wise", "model": "m"}}},
            "task.reward.method 'list-wise' is no method.* did you mean 'listwise'?",
        ),
        (
            {"task": {"kind": "recommend", "catalogue": 3, "list_length": 4}},
            "task.catalogue has only 3 titles",
        ),
        (
            {
                "algorithm": {"shaping": {"kind": "verl", "stride": 8, "window": 16}},
                "rollout": {"max_new_tokens": 64},
            },
            "algorithm.shaping.window is 16, but the velocity .* from 17 tokens on",
        ),
        (
            {
                "algorithm": {"reward": {"truncated": "mask"}},
                "task": {"kind": "pg_rank"},
                "rollout": {"engine": "encoder"},
            },
            "algorithm.reward.truncated=mask: task.kind 'pg_rank' has no written answers",
        ),
    ],
)
def test_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check(values)


def test_every_unknown_part_is_a_mistake_of_its_own() -> None:
    with pytest.raises(UserError, match=r"(?s)2 mistakes.*weights.a:.*weights.b:"):
        check(weighed({"a": 1.0, "b": 1.0, "ndcg": 1.0}, **RERANK))


@pytest.mark.parametrize(
    "values",
    [
        weighed({"ndcg": 1.0, "format": -0.1}, **RERANK),
        weighed({"ndcg": 1.0, "format": 0.0}, **RERANK),
        weighed({"tidy": 1.0, "seen": -1.0}, kind="recommend"),
        {"algorithm": UNLIKELY, "task": {"kind": "recommend"}},
        {"algorithm": {"dynamic_sampling": {"max_ratio": 1.25}}, "groups_per_step": 4},
        {"rollout": {"temperature": 0.01}},
    ],
)
def test_accepted(values: dict[str, Any]) -> None:
    assert check(values)


def test_parts_are_those_of_the_rewards() -> None:
    """The others are compared where their rewards are tested."""
    union, _ = get_args(Task)
    assert all(isinstance(task.reward_parts, tuple) for task in get_args(union))
    assert IRankerTask.reward_parts == ExclusionReward._fields


def test_weights_that_no_score_has_are_refused_while_training() -> None:
    groups = [group(0, (1.0, 0.5)), group(1, (0.0, 1.0))]
    with pytest.raises(UserError, match="weights names 'nDCG', but the scores of the reward have"):
        gdpo(groups, weights={"nDCG": 1.0})
