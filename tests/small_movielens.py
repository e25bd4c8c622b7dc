"""A MovieLens folder of ten users and five films, written in a moment."""

from __future__ import annotations

from pathlib import Path

MOVIES = """\
,movieId,title,genres
0,1,First Film (1991),x
1,2,"Second Film, The (1992)",x
2,3,Third Film (1993),x
3,4,Fourth Film (1994),x
4,9,Film without year,x
"""
FIRST_USER = """\
,userId,movieId,rating,timestamp
0,1,2,4.0,30
1,1,1,5.0,20
2,1,3,4.0,10
3,1,4,2.0,5
4,1,9,5.0,1
"""


def small_movielens(folder: Path) -> Path:
    """Each user but the first likes three of four films; an index column, ratings out of order."""
    folder.mkdir(parents=True)
    (folder / "movies.csv").write_text(MOVIES)
    rows = [
        f"{user}{film},{user},{film},4.5,{100 - film}\n"
        for user in range(2, 11)
        for film in range(1, 5)
        if film != user % 4 + 1
    ]
    (folder / "ratings.csv").write_text(FIRST_USER + "".join(rows))
    return folder
