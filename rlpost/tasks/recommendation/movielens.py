"""A folder in MovieLens format -> what each user liked, in the order of time, and title by item."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rankers.errors import UserError
from rlpost.tasks.recommendation.title_list import Title

YEAR = re.compile(r"\((\d{4})\)\s*$")
ALTERNATIVE = re.compile(r"(?<!\s)\s*+\([^)]*+\)")
ARTICLE = re.compile(r"(.+), (The|A|An|La|Le|Les|L'|El|Il|Das|Der|Die)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Likes:
    """Who liked what; users and items are the data's own ids."""

    titles: Mapping[str, Title]
    by_user: Mapping[str, tuple[str, ...]]
    """Items that each user liked, oldest first."""

    def most_liked(self, users: Collection[str], count: int) -> dict[str, Title]:
        """The ``count`` items that most of ``users`` liked, best first; one per title."""
        votes = Counter(item for user in users for item in self.by_user[user])
        chosen: dict[str, Title] = {}
        keys = set()
        for item in sorted(votes, key=lambda item: (-votes[item], item)):
            title = self.titles[item]
            if title.key not in keys and len(chosen) < count:
                keys.add(title.key)
                chosen[item] = title
        return chosen

    def among(self, items: Collection[str]) -> Likes:
        """The same with ``items`` alone."""
        return Likes(
            titles={item: title for item, title in self.titles.items() if item in items},
            by_user={
                user: tuple(item for item in liked if item in items)
                for user, liked in self.by_user.items()
            },
        )


def load_likes(folder: Path, *, min_rating: float) -> Likes:
    """Read ``movies.csv`` and ``ratings.csv``; a rating of at least ``min_rating`` is a like.

    Items without a year are left out. UserError when a file, a column or a number is missing.
    """
    rows = _rows(folder / "movies.csv", ("movieId", "title"))
    titles = {item: title for item, text in rows if (title := plain_title(text)) is not None}
    path = folder / "ratings.csv"
    try:
        ratings = [
            (user, int(time), item)
            for user, item, rating, time in _rows(
                path, ("userId", "movieId", "rating", "timestamp")
            )
            if float(rating) >= min_rating and item in titles
        ]
    except ValueError as error:
        raise UserError(f"{str(path)!r}: {error}: correct or remove that line") from None
    by_user: dict[str, list[str]] = {}
    for user, _, item in sorted(ratings):
        by_user.setdefault(user, []).append(item)
    return Likes(titles=titles, by_user={user: tuple(liked) for user, liked in by_user.items()})


def plain_title(text: str) -> Title | None:
    """The title as people write it: "Usual Suspects, The (a.k.a. X) (1995)" has neither comma nor
    alternative; None without a year.
    """
    year = YEAR.search(text)
    if year is None:
        return None
    head, closing, tail = text[: year.start()].rpartition(")")
    name = (ALTERNATIVE.sub("", head + closing) + tail).strip()
    article = ARTICLE.match(name)
    if article is not None:
        name = f"{article[2]} {article[1]}"
    return Title(name, int(year[1])) if name else None


def _rows(path: Path, columns: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    if not path.is_file():
        raise UserError(
            f"{str(path)!r} does not exist: task 'recommend' needs data.path to be a folder with "
            "ratings.csv and movies.csv, as MovieLens has them"
        )
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise UserError(
                f"{str(path)!r} lacks the columns {missing}: it has {reader.fieldnames}"
            )
        for row in reader:
            yield tuple(row[column] for column in columns)
