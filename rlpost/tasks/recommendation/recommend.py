"""Task `recommend`: a user's liked titles in, a ranked list of other titles out."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rankers.errors import UserError
from rankers.evaluation.measures import ndcg
from rankers.types import ScoredDoc
from rlpost.models.loading import load_tokenizer
from rlpost.rollout.seeding import seed_at
from rlpost.tasks.epoch_order import Epochs
from rlpost.tasks.recommendation.title_list import (
    Title,
    TitleList,
    pieces,
    read_list,
    released_segments,
)
from rlpost.types import Completion, ListScore, Message, Prompt, Score

Render = Callable[[Sequence[Message]], tuple[int, ...]]
RecommendVariant = Literal["paper", "released"]


class Catalogue:
    """The items that can be recommended, by id and by title."""

    def __init__(self, titles: Mapping[str, Title]) -> None:
        self.titles = titles
        self._by_key = {title.key: item for item, title in titles.items()}

    def item(self, title: Title) -> str | None:
        """The id of ``title``; None when it is not in the catalogue."""
        return self._by_key.get(title.key)

    def answer(self, items: Sequence[str]) -> str:
        """The list of ``items`` as a policy should write it."""
        return "\n".join(str(self.titles[item]) for item in items)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationTarget:
    """The payload of a prompt."""

    user: str
    shown: tuple[str, ...]
    """Items of the history in the prompt, oldest first."""
    wanted: tuple[str, ...]
    """Items that the user liked after those, none of them shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedTitles:
    """A list of titles against a wish."""

    gains: tuple[int, ...]
    """Of each title: 1 for a wanted item that is listed for the first time, 0 for anything else."""
    valid: tuple[bool, ...]
    """Of each title: whether it is a recommendation, that is, none of the three kinds below."""
    items: tuple[str, ...]
    """The valid ones, in order."""
    unknown: int
    """Titles that are not in the catalogue."""
    repeated: int
    """Items already listed."""
    seen: int
    """Items of the history."""


def match_titles(
    titles: Sequence[Title], wish: RecommendationTarget, catalogue: Catalogue
) -> MatchedTitles:
    """Look each title up; whatever earns nothing keeps its place in ``gains``."""
    gains: list[int] = []
    items: list[str] = []
    faults: list[str | None] = []
    for title in titles:
        item = catalogue.item(title)
        gains.append(int(item in wish.wanted and item not in items))
        if item is None:
            faults.append("unknown")
        elif item in items:
            faults.append("repeated")
        elif item in wish.shown:
            faults.append("seen")
        else:
            faults.append(None)
            items.append(item)
    return MatchedTitles(
        gains=tuple(gains),
        valid=tuple(fault is None for fault in faults),
        items=tuple(items),
        unknown=faults.count("unknown"),
        repeated=faults.count("repeated"),
        seen=faults.count("seen"),
    )


class Reader:
    """Reads completions as lists of ``length`` titles, with the tokens of the model's tokenizer."""

    def __init__(
        self, model_path: str, *, length: int, variant: RecommendVariant = "paper"
    ) -> None:
        """``released`` cuts the tokens as the released code does: see ``released_segments``."""
        tokenizer = load_tokenizer(model_path)
        if not tokenizer.is_fast:
            raise UserError(
                f"the tokenizer of {model_path} has no tokenizer.json, which task 'recommend' "
                "needs to know which token wrote which title: save a fast one"
            )
        self._tokenizer = tokenizer.backend_tokenizer
        self._variant = variant
        self.length = length

    def __call__(self, completion: Completion) -> TitleList:
        pieces_T = pieces(completion.token_ids, self._tokenizer)
        ended = completion.finish == "stop"
        found = read_list(pieces_T, ended=ended, length=self.length)
        if self._variant == "paper":
            return found
        segments = released_segments(pieces_T, ended=ended, length=self.length)
        return replace(found, segments=segments)


class RecommendReward:
    """nDCG of the list as it stands, and what each of its places earned.

    Seen, repeated and unknown titles earn nothing and keep their place, so that filling a place
    with them costs; the measures of an evaluation leave them out.
    """

    def __init__(
        self, catalogue: Catalogue, reader: Callable[[], Reader], *, invalid_penalty: float = 0.0
    ) -> None:
        """``reader`` is called here, in the process that scores.

        ``invalid_penalty`` is what a place loses that is empty or filled with such a title, and
        the mean of it over the places what the list loses.
        """
        self._catalogue = catalogue
        self._read = reader()
        self._invalid_penalty = invalid_penalty

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        wish, length = target_of(prompt), self._read.length
        found = self._read(completion)
        judged = match_titles(found.titles, wish, self._catalogue)
        gains_K = (judged.gains + (0,) * length)[:length]
        ideal = [1] * len(wish.wanted)
        value = ndcg(range(length), gains_K, k=length, ideal=ideal)
        lost_K = tuple(
            self._invalid_penalty * (not ok) for ok in (judged.valid + (False,) * length)[:length]
        )
        return Score(
            total=value - sum(lost_K) / length,
            parts={
                "ndcg": value,
                "recall": sum(gains_K) / len(wish.wanted),
                "tidy": float(found.tidy),
                "unknown": float(judged.unknown),
                "repeated": float(judged.repeated),
                "seen": float(judged.seen),
            },
            places=ListScore(
                gains_K=tuple(gain - lost for gain, lost in zip(gains_K, lost_K, strict=True)),
                segments=found.segments,
            ),
        )


def ranked_titles(
    prompt: Prompt, completion: Completion, *, read: Reader, catalogue: Catalogue
) -> list[ScoredDoc]:
    """One entry of a run: the list without seen, repeated and unknown titles, cut to its length."""
    judged = match_titles(read(completion).titles, target_of(prompt), catalogue)
    return as_run(judged.items[: read.length])


def as_run(items: Sequence[str]) -> list[ScoredDoc]:
    """Items, best first, as an entry of a run."""
    return [ScoredDoc(item, float(len(items) - rank)) for rank, item in enumerate(items)]


def target_of(prompt: Prompt) -> RecommendationTarget:
    """The payload of a prompt that this task wrote."""
    assert isinstance(prompt.payload, RecommendationTarget), (
        f"prompt {prompt.id!r} is not of task recommend"
    )
    return prompt.payload


class RecommendPromptWriter:
    """Cuts a user's likes in two, shows the older part and wants the newer."""

    def __init__(self, catalogue: Catalogue, *, history: int, length: int, render: Render) -> None:
        """``history``: titles shown, the latest before the cut; ``length``: titles asked for."""
        self._catalogue = catalogue
        self._history = history
        self._length = length
        self._render = render

    def write(self, user: str, liked: Sequence[str], *, cut: int) -> Prompt:
        """The prompt that shows what came before position ``cut`` of ``liked``."""
        shown = tuple(liked[max(0, cut - self._history) : cut])
        text = (
            f"Liked:\n{self._catalogue.answer(shown)}\n\n"
            f"{self._length} more, one per line, as Title (Year):"
        )
        messages = (Message(role="user", content=text),)
        return Prompt(
            id=user,
            messages=messages,
            token_ids=self._render(messages),
            payload=RecommendationTarget(user=user, shown=shown, wanted=tuple(liked[cut:])),
        )


class RecommendPrompts:
    """The endless prompt stream of a run: each epoch cuts every user's likes at another place."""

    def __init__(
        self,
        writer: RecommendPromptWriter,
        likes_by_user: Mapping[str, Sequence[str]],
        *,
        seed: int,
    ) -> None:
        """UserError when no user liked two items."""
        self._writer = writer
        self._likes = {user: liked for user, liked in likes_by_user.items() if len(liked) > 1}
        self._seed = seed
        if not self._likes:
            raise UserError(
                "no training user liked two titles of the catalogue: raise task.catalogue or lower "
                "task.min_rating"
            )
        self._epochs = Epochs(sorted(self._likes), seed=seed)

    def epoch(self, index: int) -> int:
        return self._epochs.epoch(index)

    def prompt(self, index: int) -> Prompt:
        epoch, user = self._epochs.at(index)
        liked = self._likes[user]
        rng = random.Random(seed_at(self._seed, "cut", epoch, user))
        return self._writer.write(user, liked, cut=rng.randrange(1, len(liked)))


def split_users(
    users: Collection[str], *, held_out: float, seed: int
) -> tuple[list[str], list[str]]:
    """(training, held-out) users in the order of ``seed``; ``held_out`` is a share."""
    shuffled = sorted(users)
    random.Random(seed_at(seed, "held-out")).shuffle(shuffled)
    count = round(held_out * len(shuffled))
    return shuffled[count:], shuffled[:count]
