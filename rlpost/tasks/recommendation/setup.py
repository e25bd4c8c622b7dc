"""Config -> task `recommend`: likes, catalogue, prompts, the answers to imitate, held-out users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rankers.errors import UserError
from rlpost.config.run import RunConfig
from rlpost.config.task import RecommendTask
from rlpost.models.loading import context_length, load_tokenizer, renderer
from rlpost.rollout.seeding import seed_at
from rlpost.tasks.base import HeldOut, PreparedTask, Rank
from rlpost.tasks.fingerprint import fingerprint_of_likes
from rlpost.tasks.recommendation.co_occurrence import CoOccurrence
from rlpost.tasks.recommendation.movielens import load_likes
from rlpost.tasks.recommendation.recommend import (
    Catalogue,
    Reader,
    RecommendPrompts,
    RecommendPromptWriter,
    RecommendReward,
    as_run,
    ranked_titles,
    split_users,
    target_of,
)
from rlpost.tasks.recommendation.title_list import Title, read_title
from rlpost.types import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def prepare(cfg: RunConfig, say: Callable[[str], None]) -> PreparedTask:
    """See ``rlpost.tasks.by_name.prepare``."""
    task = cfg.task
    assert isinstance(task, RecommendTask)
    tokenizer = load_tokenizer(cfg.model.path)
    context_length(cfg.model.path, cfg.model.max_length)
    read = partial(Reader, cfg.model.path, length=task.list_length, variant=task.segments)
    say(f"loading {cfg.data.path}")
    likes = load_likes(Path(cfg.data.path), min_rating=task.min_rating)
    training, measured = split_users(likes.by_user, held_out=task.held_out_users, seed=cfg.seed)
    lengths = token_lengths(likes.most_liked(training, task.catalogue), tokenizer, say)
    likes = likes.among(lengths)
    catalogue = Catalogue({item: likes.titles[item] for item in lengths})
    writer = RecommendPromptWriter(
        catalogue,
        history=task.history,
        length=task.list_length,
        render=renderer(tokenizer, cfg.model.chat_template_kwargs),
    )
    check_room(cfg, sorted(lengths.values()), template=len(writer.write("", (), cut=0).token_ids))
    of_training = {user: likes.by_user[user] for user in training}
    counts = CoOccurrence(of_training, list(catalogue.titles))
    return PreparedTask(
        source=RecommendPrompts(writer, of_training, seed=cfg.seed),
        reward=partial(RecommendReward, catalogue, read, invalid_penalty=task.invalid_penalty),
        data=fingerprint_of_likes(likes),
        imitate=partial(
            demonstration, counts=counts, catalogue=catalogue, task=task, seed=cfg.seed
        ),
        held_out=held_out(
            [
                writer.write(user, liked, cut=len(liked) // 2)
                for user in measured[: cfg.data.eval_queries]
                if len(liked := likes.by_user[user]) > 1
            ],
            rank=partial(ranked_titles, read=read(), catalogue=catalogue),
            counts=counts,
            length=task.list_length,
            name=Path(cfg.data.path).name,
        ),
    )


def token_lengths(
    titles: Mapping[str, Title], tokenizer: PreTrainedTokenizerBase, say: Callable[[str], None]
) -> dict[str, int]:
    """Tokens of each title with its newline, without the titles that the model could not write."""
    lengths = {}
    for item, title in titles.items():
        token_ids = tokenizer(f"{title}\n", add_special_tokens=False)["input_ids"]
        written = read_title(str(tokenizer.decode(token_ids, skip_special_tokens=True)))
        if written is not None and written.key == title.key:
            lengths[item] = len(token_ids)
    lost = [str(title) for item, title in titles.items() if item not in lengths]
    if lost:
        say(f"left out {len(lost)} titles that this tokenizer cannot write, such as {lost[0]!r}")
    return lengths


def check_room(cfg: RunConfig, lengths: Sequence[int], *, template: int) -> None:
    """UserError unless the longest history and the longest list fit; ``lengths`` ascend."""
    task = cfg.task
    assert isinstance(task, RecommendTask)
    prompt = template + sum(lengths[-task.history :])
    if prompt > cfg.longest_prompt:
        raise UserError(
            f"a history of {task.history} titles may need {prompt} tokens but only "
            f"{cfg.longest_prompt} fit: raise model.max_length or lower task.history"
        )
    answer = sum(lengths[-task.list_length :]) + 1
    if answer > cfg.rollout.max_new_tokens:
        raise UserError(
            f"a list of {task.list_length} titles may need {answer} tokens but "
            f"rollout.max_new_tokens is {cfg.rollout.max_new_tokens}: raise it to {answer}"
        )


def demonstration(
    prompt: Prompt, *, counts: CoOccurrence, catalogue: Catalogue, task: RecommendTask, seed: int
) -> str:
    """What a warm start imitates: items that often go with the history among the other training
    users, so that the user's own future is never shown.
    """
    wish = target_of(prompt)
    items = counts.recommend(
        wish.shown,
        count=task.list_length,
        without=wish.user,
        temperature=task.teacher_temperature,
        seed=seed_at(seed, "teacher", wish.user, *wish.shown),
    )
    return catalogue.answer(items)


def held_out(
    prompts: Sequence[Prompt], *, rank: Rank, counts: CoOccurrence, length: int, name: str
) -> HeldOut:
    """The users to measure on; UserError without any."""
    if not prompts:
        raise UserError(
            "no held-out user liked two titles of the catalogue: raise task.held_out_users or "
            "task.catalogue"
        )
    wishes = {prompt.id: target_of(prompt) for prompt in prompts}
    baselines = {"popularity": counts.popular, "co-occurrence": counts.recommend}
    return HeldOut(
        prompts=prompts,
        rank=rank,
        qrels={user: dict.fromkeys(wish.wanted, 1) for user, wish in wishes.items()},
        baselines={
            name: {
                user: as_run(recommend(wish.shown, count=length)) for user, wish in wishes.items()
            }
            for name, recommend in baselines.items()
        },
        name=name,
    )
