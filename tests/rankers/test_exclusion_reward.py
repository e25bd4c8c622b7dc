"""IRanker's reward: the official values, and where ours is more lenient about white space."""

import pytest

from rankers.exclusion_reward import Variant, exclusion_reward
from tests.rankers.golden import golden

NAMES = {"passage 0": 0, "passage 1": 1, "passage 2": 2}


def answered(content: str) -> str:
    return f"<think>\nreason\n</think>\n<answer>\n{content}\n</answer>"


TEXTS = {
    "good_exclude": answered("passage 0"),
    "excludes_gt": answered("passage 1"),
    "not_candidate": answered("passage 9"),
    "no_answer": "<think>\nreason",
    "inline_tags": "<think> reason</think><answer>passage 0</answer>",
}


@pytest.mark.parametrize("name", TEXTS)
def test_released_rewards(name: str) -> None:
    entry = golden("iranker_exclusion_reward")
    truth = NAMES[entry["gt"]["gt"]]
    [case] = [
        case
        for case in entry["cases"]
        if case["case"] == name and case["scope"] == "response_only_with_think_open"
    ]
    found = exclusion_reward(TEXTS[name], len(NAMES), truth, variant="released")
    assert found.total == case["total"]
    assert (found.format, found.tags) == (case["format"], case["tags"])


@pytest.mark.parametrize("name", ["good_exclude", "excludes_gt", "not_candidate"])
def test_the_variants_agree_on_the_released_layout(name: str) -> None:
    both: list[Variant] = ["paper", "released"]
    first, second = (exclusion_reward(TEXTS[name], 3, 1, variant=variant) for variant in both)
    assert first == second


def test_white_space_between_the_blocks_is_free() -> None:
    assert exclusion_reward("<think>a</think> <answer>passage 2</answer>", 3, 0).total == 1.0


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("<answer>passage 2</answer>", 1 - 1 - 0.5),  # no reasoning: two tags are missing
        (f"{answered('passage 2')} and more", 1 - 1),  # something behind the answer
        (answered("passage 1 or passage 2"), -0.5),  # two candidates are none
        (answered("the second one"), -0.5),
        ("", -1 - 1 - 1),
    ],
)
def test_every_fault_costs_its_part(text: str, total: float) -> None:
    assert exclusion_reward(text, 3, 0).total == total
