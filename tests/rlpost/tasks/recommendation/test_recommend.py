"""The task `recommend` on a small folder: likes, prompts, reward, teacher, held-out users."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path

import pytest

from rankers.errors import UserError
from rankers.evaluation.measures import evaluate
from rlpost.config import parse
from rlpost.config.task import RecommendTask
from rlpost.credit.rank_advantages import rank_rewards
from rlpost.models.loading import load_tokenizer
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.by_name import prepare
from rlpost.tasks.recommendation.co_occurrence import CoOccurrence
from rlpost.tasks.recommendation.movielens import Likes, load_likes, plain_title
from rlpost.tasks.recommendation.recommend import (
    Catalogue,
    Reader,
    RecommendationTarget,
    RecommendReward,
    as_run,
    match_titles,
    target_of,
)
from rlpost.tasks.recommendation.title_list import Title, read_list
from rlpost.types import Completion, Prompt
from tests.golden import golden, needs_golden
from tests.small_movielens import small_movielens

HEAT, UP, ALIEN, DUNE = (
    Title("Heat", 1995),
    Title("Up", 2009),
    Title("Alien", 1979),
    Title("Dune", 2021),
)
CATALOGUE = Catalogue({"h": HEAT, "u": UP, "a": ALIEN, "d": DUNE})
WISH = RecommendationTarget(user="1", shown=("a",), wanted=("h", "d"))


def test_titles_are_written_as_people_write_them() -> None:
    assert plain_title("Usual Suspects, The (1995)") == Title("The Usual Suspects", 1995)
    assert plain_title("Seven (a.k.a. Se7en) (1995)") == Title("Seven", 1995)
    text = "City of Lost Children, The (Cit\u00e9 des enfants perdus, La) (1995) "
    assert plain_title(text) == Title("The City of Lost Children", 1995)
    assert plain_title("Babylon 5") is None


def test_what_earns_nothing_keeps_its_place_and_is_left_out_of_the_ranking() -> None:
    titles = [ALIEN, HEAT, Title("Heat", 1996), HEAT, UP, DUNE]
    judged = match_titles(titles, WISH, CATALOGUE)
    assert judged.gains == (0, 1, 0, 0, 0, 1)
    assert judged.items == ("h", "u", "d")
    assert judged.valid == (False, True, False, False, True, True)
    assert (judged.unknown, judged.repeated, judged.seen) == (1, 1, 1)


@needs_golden
def test_rewards_equal_the_official_code() -> None:
    data = golden()["rankgrpo_reward"]
    titles = {f"{name}/{year}": Title(name, year) for name, year in data["catalog"]}
    catalogue = Catalogue(titles)
    seen = frozenset(item for item, title in titles.items() if title.name in data["seen"])
    wanted = tuple(dict.fromkeys(f"{name}/{year}" for name, year in data["groundtruth"]))
    wish = RecommendationTarget(user="", shown=tuple(seen), wanted=wanted)
    length = data["rec_num"]
    for row, text in enumerate(data["texts"]):
        found = read_list([text], ended=False, length=length)
        assert [list(title) for title in found.titles] == data["parsed"][row]
        gains = match_titles(found.titles, wish, catalogue).gains
        gains_K = (gains + (0,) * length)[:length]
        assert rank_rewards(gains_K, decay="exp_inf") == pytest.approx(data["exp_inf"][row])
        assert rank_rewards(gains_K, decay="log") == pytest.approx(data["log_decay"][row])


@needs_golden
def test_measures_equal_the_official_code() -> None:
    data = golden()["rankgrpo_eval"]
    listed = [f"i{rank}" for rank in range(5)]
    right = [item for item, hit in zip(listed, data["hits"], strict=True) if hit]
    missed = [f"m{k}" for k in range(data["num_gt"] - len(right))]
    names = {
        **{f"R@{k}": value for k, value in data["recall"].items()},
        **{f"nDCG@{k}": value for k, value in data["ndcg"].items()},
    }
    found = evaluate({"q": as_run(listed)}, {"q": dict.fromkeys(right + missed, 1)}, list(names))
    assert found.mean == pytest.approx(names, abs=1e-6)


def test_reward_reads_tokens_and_titles_at_once(tiny_model) -> None:
    reward = RecommendReward(CATALOGUE, partial(Reader, str(tiny_model), length=2))
    tokenizer = load_tokenizer(tiny_model)
    text = "Films:\nUp (2009)\n\nDune (2021)\n"
    score = reward(prompt(), completion(text, tokenizer))
    assert score.places is not None
    assert score.places.gains_K == (0.0, 1.0)
    spans = {}
    start = 0
    for segment in score.places.segments:
        ids = completion(text, tokenizer).token_ids[start : start + segment.length]
        spans[segment.rank, start] = tokenizer.decode(ids, skip_special_tokens=True)
        start += segment.length
    assert list(spans.values()) == ["Films:\n", "Up (2009)\n\n", "Dune (2021)\n", ""]
    discount = 0.6309297535714575
    assert score.total == pytest.approx(discount / (1 + discount))
    expected = {"recall": 0.5, "tidy": 0.0, "unknown": 0.0, "repeated": 0.0, "seen": 0.0}
    assert dict(score.parts) == pytest.approx({"ndcg": score.total, **expected})
    assert tuple(score.parts) == RecommendTask.reward_parts


def test_an_invalid_title_or_none_costs_its_place_the_penalty(tiny_model) -> None:
    reader = partial(Reader, str(tiny_model), length=4)
    reward = RecommendReward(CATALOGUE, reader, invalid_penalty=0.5)
    answer = completion("Alien (1979)\nHeat (1995)\nHeat (1995)", load_tokenizer(tiny_model))
    score = reward(prompt(), answer)
    assert score.places is not None
    assert score.places.gains_K == (-0.5, 1.0, -0.5, -0.5)
    assert score.total == pytest.approx(score.parts["ndcg"] - 0.375)


def test_likes_are_read_in_the_order_of_time(folder) -> None:
    likes = load_likes(folder, min_rating=4.0)
    assert likes.by_user["1"] == ("3", "1", "2")
    assert likes.titles["2"] == Title("The Second Film", 1992)
    assert "9" not in likes.titles
    assert list(likes.most_liked(["1", "2"], 2)) == ["1", "2"]


def test_a_title_stands_once_in_a_catalogue() -> None:
    likes = Likes(
        titles={"1": HEAT, "2": Title("HEAT", 1995), "3": UP},
        by_user={"a": ("1", "3"), "b": ("1",), "c": ("2",)},
    )
    assert list(likes.most_liked(["a", "b", "c"], 5)) == ["1", "3"]


def test_co_occurrence_by_hand() -> None:
    counts = CoOccurrence({"1": "ab", "2": "ab", "3": "bc", "4": "cd"}, "abcd")
    assert counts.recommend("a", count=2) == ["b", "c"]
    assert counts.recommend("a", count=1, without="2") == ["b"]
    assert counts.popular("b", count=2) == ["a", "c"]


def test_a_teacher_does_not_know_the_users_own_future() -> None:
    counts = CoOccurrence({"1": "ad", "2": "ab", "3": "c", "4": "c"}, "abcd")
    assert counts.recommend("a", count=1, without="1") == ["b"]
    assert counts.recommend("a", count=2, without="2")[0] == "d"


def test_prompts_show_the_older_likes_and_want_the_newer(folder) -> None:
    prepared = prepared_from(folder)
    for index in range(30):
        asked = prepared.source.prompt(index)
        assert asked == prepared.source.prompt(index)
        wish = target_of(asked)
        assert 1 <= len(wish.shown) <= 2
        assert wish.wanted
        assert not set(wish.wanted) & set(wish.shown)
    measured = {target_of(asked).user for asked in prepared.held_out.prompts}
    trained = {target_of(prepared.source.prompt(index)).user for index in range(30)}
    assert measured
    assert not measured & trained
    assert set(prepared.held_out.qrels) == measured


def test_the_answer_to_imitate_is_a_list_the_reward_calls_tidy(folder, tiny_model) -> None:
    prepared = prepared_from(folder)
    tokenizer = load_tokenizer("tiny-ranker")
    asked = prepared.source.prompt(0)
    answer = completion(prepared.imitate(asked), tokenizer)
    reward = pickle.loads(pickle.dumps(prepared.reward))()
    parts = reward(asked, answer).parts
    assert parts["tidy"] == 1
    assert parts["unknown"] == parts["repeated"] == parts["seen"] == 0
    assert len(prepared.held_out.rank(asked, answer)) == 2
    popular = prepared.held_out.baselines["popularity"]
    assert all(len(docs) == 2 for docs in popular.values())


def test_prepare_refuses_what_cannot_be_right(folder, tmp_path) -> None:
    with pytest.raises(UserError, match=r"movies\.csv"):
        prepared_from(tmp_path)
    with pytest.raises(UserError, match="raise it to"):
        prepared_from(folder, rollout={"engine": "hf", "max_new_tokens": 8})
    with pytest.raises(UserError, match=r"lower task\.history"):
        prepared_from(folder, model={"max_length": 80})
    (folder / "ratings.csv").write_text("userId,movieId\n1,1\n")
    with pytest.raises(UserError, match="lacks the columns"):
        prepared_from(folder)


@pytest.mark.parametrize(
    "part", [{"credit": {"kind": "rank"}}, {"objective": {"kind": "rank_grpo"}}]
)
def test_ranks_are_refused_for_a_task_without_lists(part) -> None:
    with pytest.raises(UserError, match="'rerank' writes no list"):
        parse({"algorithm": part}, origin="test")
    parse({"algorithm": part, "task": {"kind": "recommend"}}, origin="test")


def prepared_from(folder: Path, **sections: object) -> PreparedTask:
    values = {
        "data": {"path": str(folder)},
        "task": {"kind": "recommend", "catalogue": 4, "list_length": 2, "history": 2},
        "rollout": {"engine": "hf", "max_new_tokens": 40},
        **sections,
    }
    return prepare(parse(values, origin="test"), say=lambda text: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_movielens(tmp_path / "data")


def prompt() -> Prompt:
    return Prompt(id="1", messages=(), token_ids=(1,), payload=WISH)


def completion(text: str, tokenizer) -> Completion:
    """What an engine would return for ``text`` and the end of the turn."""
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return Completion(
        token_ids=tuple(ids),
        logprobs_T=(0.0,) * len(ids),
        versions_T=(0,) * len(ids),
        finish="stop",
        text=text,
    )


def test_a_drawn_list_prefers_the_better_items_and_repeats_with_its_seed() -> None:
    counts = CoOccurrence({"1": "ab", "2": "ab", "3": "ac", "4": "d"}, "abcd")
    drawn = [counts.recommend("a", count=3, temperature=0.5, seed=seed)[0] for seed in range(200)]
    again = counts.recommend("a", count=3, temperature=0.5, seed=7)
    assert again == counts.recommend("a", count=3, temperature=0.5, seed=7)
    # P(b first) of Plackett-Luce: scores 2 / (sqrt(6) + 5), 1 / (sqrt(3) + 5) and nothing, squared
    b, c = (2 / (6**0.5 + 5)) ** 2, (1 / (3**0.5 + 5)) ** 2
    assert drawn.count("b") / 200 == pytest.approx(b / (b + c), abs=0.07)
    assert "d" not in drawn
