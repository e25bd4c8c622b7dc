"""Listwise ranking problems with a lexical teacher, as token arrays, for pre-training.

Each problem is one training sequence: the prompt of the `compact` template (query, passages each
followed by its label) and the answer "[2] > [1] > ...", the order of a BM25 teacher computed on the
very tokens that the model sees. Two dense signals come with it: for every passage token the weight
of its match with the query, for every label the teacher's score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from rankers.prompting.sanitize import neutralise
from rlpost.tiny_ranker.sources import Source
from rlpost.tiny_ranker.tokenizer import MAX_LABEL, TURN_END, label

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

MAX_PASSAGE = 40
MAX_QUERY = 16
TF_SATURATION = 0.9
IGNORED = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemMix:
    """What the problems of a batch look like; all shares are in [0, 1]."""

    synthetic: float  # passages of random tokens
    drawn: float  # queries drawn from a real passage instead of a real question
    hard: float  # distractors that share a word with the query instead of random ones
    lists: tuple[int, int]  # fewest and most passages


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemBatch:
    """A batch: B sequences of S tokens, at most N passages each (unused places are -1)."""

    tokens_BS: Ints
    answers_BS: Ints  # next-token targets at answer places, IGNORED elsewhere
    matches_BS: Floats  # weight of the token's match with the query; NaN outside passages
    labels_BN: Ints  # place of each label in the sequence, -1 where there is none
    scores_BN: Floats  # teacher's score of each passage


class ProblemSampler:
    """Draws problems from sources; the same seed gives the same problems."""

    def __init__(
        self, sources: Sequence[Source], tokenizer: PreTrainedTokenizerBase, *, seed: int
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._passages: list[Ints] = []
        self._queries: list[tuple[Ints, int]] = []
        self._range_of_query: list[tuple[int, int]] = []
        for source in sources:
            first = len(self._passages)
            texts = [neutralise(text) for text in source.passages]
            self._passages += [ids[:MAX_PASSAGE] for ids in _encode(tokenizer, texts)]
            span = (first, len(self._passages))
            for ids, positive in zip(
                _encode(tokenizer, [neutralise(text) for text in source.queries]),
                source.positives,
                strict=True,
            ):
                self._queries.append((ids[:MAX_QUERY], first + positive))
                self._range_of_query.append(span)
        self._vocabulary = len(tokenizer)
        self._count_tokens()
        self._frame(tokenizer)

    def _count_tokens(self) -> None:
        """Inverse document frequencies, and for each token the passages that hold it."""
        rows = np.repeat(np.arange(len(self._passages)), [len(p) for p in self._passages])
        pairs = np.unique(np.stack([np.concatenate(self._passages), rows]), axis=1)
        self._holders = pairs[1]
        self._holder_starts = np.searchsorted(pairs[0], np.arange(self._vocabulary + 1))
        df = np.diff(self._holder_starts)
        idf = np.log(1 + (len(self._passages) - df + 0.5) / (df + 0.5))
        self.idf_V = (idf / np.log(1 + len(self._passages))).astype(np.float32)
        self._usual = np.flatnonzero((df >= 3) & (self.idf_V > 0.35))

    def _frame(self, tokenizer: PreTrainedTokenizerBase) -> None:
        message = [{"role": "user", "content": "Query:\x00Ranking:"}]
        text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        assert isinstance(text, str)
        self._head, self._tail = _encode(tokenizer, text.split("\x00"))
        self._newline, self._then, self._end = (_id(tokenizer, t) for t in ("\n", ">", TURN_END))
        self._labels = np.array([_id(tokenizer, label(i + 1)) for i in range(MAX_LABEL)])

    def batch(self, size: int, length: int, mix: ProblemMix) -> ProblemBatch:
        """`size` problems of `length` tokens at most, padded with zeros on the right."""
        most = mix.lists[1]
        tokens = np.zeros((size, length), np.int64)
        answers = np.full((size, length), IGNORED, np.int64)
        matches = np.full((size, length), np.nan, np.float32)
        labels = np.full((size, most), -1, np.int64)
        scores = np.zeros((size, most), np.float32)
        for row in range(size):
            count = int(self._rng.integers(mix.lists[0], most + 1))
            query, passages = self._draw(count, mix)
            room = length - len(self._head) - len(self._tail) - len(query) - 2 - 4 * count
            passages = [p[: min(MAX_PASSAGE, room // count)] for p in passages]
            weights = [np.isin(p, query) * self.idf_V[p] for p in passages]
            scores[row, :count] = [self._score(query, p) for p in passages]
            parts = [self._head, query, [self._newline]]
            place = len(self._head) + len(query) + 1
            for i, passage in enumerate(passages):
                matches[row, place : place + len(passage)] = weights[i]
                parts += [passage, self._labels[i : i + 1], [self._newline]]
                labels[row, i] = place + len(passage)
                place += len(passage) + 2
            order = np.argsort(-scores[row, :count], kind="stable")
            answer = np.full(2 * count, self._then)
            answer[0::2] = self._labels[order]
            answer[-1] = self._end
            sequence = np.concatenate([*parts, self._tail, answer])
            tokens[row, : len(sequence)] = sequence
            start = len(sequence) - len(answer)
            answers[row, start - 1 : len(sequence) - 1] = answer
        return ProblemBatch(
            tokens_BS=tokens,
            answers_BS=answers,
            matches_BS=matches,
            labels_BN=labels,
            scores_BN=scores,
        )

    def _score(self, query: Ints, passage: Ints) -> float:
        """BM25 without length normalisation: all passages of a list have about one length."""
        terms = np.unique(query)
        tf = (passage[None, :] == terms[:, None]).sum(1)
        return float((self.idf_V[terms] * tf * (1 + TF_SATURATION) / (tf + TF_SATURATION)).sum())

    def _draw(self, count: int, mix: ProblemMix) -> tuple[Ints, list[Ints]]:
        if self._rng.random() < mix.synthetic:
            return self._draw_synthetic(count)
        if self._rng.random() < mix.drawn or not self._queries:
            positive = int(self._rng.integers(len(self._passages)))
            query = self._query_from(self._passages[positive])
            span = (0, len(self._passages))
        else:
            choice = int(self._rng.integers(len(self._queries)))
            query, positive = self._queries[choice]
            span = self._range_of_query[choice]
        rows = [positive] if self._rng.random() < 0.9 else []
        while len(rows) < count:
            rows.append(self._distractor(query, span, mix.hard))
        self._rng.shuffle(rows)
        return query, [self._passages[row] for row in rows]

    def _distractor(self, query: Ints, span: tuple[int, int], hard: float) -> int:
        """A passage that shares a word with the query or, else, any passage of the source."""
        if self._rng.random() < hard:
            weights = self.idf_V[query] ** 2
            token = self._rng.choice(query, p=weights / weights.sum())
            holders = self._holders[self._holder_starts[token] : self._holder_starts[token + 1]]
            holders = holders[np.searchsorted(holders, span[0]) : np.searchsorted(holders, span[1])]
            if len(holders):
                return int(holders[self._rng.integers(len(holders))])
        return int(self._rng.integers(*span))

    def _query_from(self, passage: Ints) -> Ints:
        """Two to eight tokens of a passage, rare ones first, and sometimes a foreign one."""
        count = int(self._rng.integers(2, 9))
        noise = self._rng.random(len(passage)) * self.idf_V[passage]
        query = passage[np.sort(np.argsort(-noise)[:count])]
        if self._rng.random() < 0.5:
            query = np.append(query, self._rng.choice(self._usual, 2))
        return query

    def _draw_synthetic(self, count: int) -> tuple[Ints, list[Ints]]:
        query = self._rng.choice(self._usual, int(self._rng.integers(2, 9)))
        passages = []
        for _ in range(count):
            passage = self._rng.choice(self._usual, int(self._rng.integers(10, 25)))
            shared = int(self._rng.integers(0, len(query) + 1))
            places = self._rng.choice(len(passage), shared, replace=False)
            passage[places] = self._rng.choice(query, shared, replace=False)
            passages.append(passage)
        return query, passages


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Ints]:
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [np.array(ids or [0], np.int64) for ids in encoded]


def _id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found
