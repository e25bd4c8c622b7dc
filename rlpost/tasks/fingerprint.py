"""Digests of the data of a run, part by part, so that a changed part can be named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from rlpost.tasks.ranking.prompts import PromptWriter
from rlpost.tasks.recommendation.movielens import Likes


def fingerprint(training: PromptWriter, measured: PromptWriter) -> dict[str, str]:
    """Of all documents, and for both splits of queries, judgements and candidate lists."""
    found = {"documents": _digest(_documents(measured))}
    for split, writer in (("training", training), ("held-out", measured)):
        collection, run = writer.collection, writer.run
        found |= {
            f"{split} queries": _digest(sorted(collection.queries.items())),
            f"{split} judgements": _digest(
                (query_id, sorted(gains.items()), sorted(collection.excluded.get(query_id, ())))
                for query_id, gains in sorted(collection.qrels.items())
            ),
            f"{split} candidates": _digest(
                (query_id, [doc.id for doc in docs]) for query_id, docs in sorted(run.items())
            ),
        }
    return found


def fingerprint_of_likes(likes: Likes) -> dict[str, str]:
    """Of a MovieLens folder as it is used."""
    return {
        "titles": _digest((item, str(title)) for item, title in sorted(likes.titles.items())),
        "likes": _digest(sorted(likes.by_user.items())),
    }


def _documents(writer: PromptWriter) -> Iterable[object]:
    return ((doc.id, doc.title, doc.text) for doc in writer.collection.corpus.values())


def _digest(parts: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode())
        digest.update(b"\n")
    return digest.hexdigest()
