"""IRanker's reward: what upstream's trainer gave, and the paper's terms without its quirks."""

import pytest

from rankers.methods.iranker import IRankerVariant, exclusion_reward
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
        if case["case"] == name and case["scope"] == "prompt_plus_response_as_trainer_does"
    ]
    found = exclusion_reward(TEXTS[name], len(NAMES), truth, variant="released")
    assert found.total == case["total"]
    assert (found.format, found.tags) == (case["format"], case["tags"])


@pytest.mark.parametrize("name", ["good_exclude", "excludes_gt", "not_candidate", "no_answer"])
def test_the_papers_terms_are_the_released_ones_of_the_response_alone(name: str) -> None:
    entry = golden("iranker_exclusion_reward")
    [total] = [
        case["total"]
        for case in entry["cases"]
        if case["case"] == name and case["scope"] == "response_only_with_think_open"
    ]
    assert exclusion_reward(TEXTS[name], len(NAMES), 1).total == total


@pytest.mark.parametrize(
    ("variant", "good", "gap"), [("paper", 1.0, 3.75), ("released", -0.5, 1.75)]
)
def test_what_an_answer_is_worth(variant: IRankerVariant, good: float, gap: float) -> None:
    answer, none = (
        exclusion_reward(text, 3, 1, variant=variant).total
        for text in (answered("passage 0"), "<think>\nreason")
    )
    assert (answer, answer - none) == (good, gap)


@pytest.mark.parametrize(
    ("text", "exclusion", "tags"),
    [
        ("\nreason\n</think>\n<answer>\npassage 0\n</answer>", 1.0, -0.5),  # prompt opened it
        ("reason\n</think>\n<answer>\npassage 0\n</answer>", 1.0, -0.25),
        (answered("passage 1"), 0.0, -0.5),
        (answered("Passage 0"), -0.5, -0.5),  # case matters there
        (answered("passage 0\nas it is off topic"), 1.0, -0.5),  # the first line counts
        (f"{answered('passage 0')}{answered('passage 1')}", 0.0, -1.0),  # the last block counts
        ("<think>\n<answer>passage 0</answer>", 1.0, -0.75),  # reasoning need not end
        ("", -0.5, -0.5),
    ],
)
def test_the_released_terms(text: str, exclusion: float, tags: float) -> None:
    found = exclusion_reward(text, 3, 1, variant="released")
    assert found == (exclusion, -1.0, tags)


def test_the_released_reward_takes_linear_time() -> None:
    for text in ("<answer>" * 100_000, "<answer>" + " " * 500_000, "<answer></answer>" * 50_000):
        exclusion_reward(text, 3, 1, variant="released")


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
