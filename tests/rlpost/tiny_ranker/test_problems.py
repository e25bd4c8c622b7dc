"""Pre-training problems: the very tokens of the task's prompt, and a teacher one can check."""

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from rankers.prompting.parsing import parse_permutation
from rankers.prompting.templates import listwise_messages
from rlpost.models.loading import render
from rlpost.tiny_ranker.problems import IGNORED, ProblemBatch, ProblemMix, ProblemSampler
from rlpost.tiny_ranker.sources import Source
from rlpost.tiny_ranker.tokenizer import train_tokenizer
from rlpost.types import Message

PASSAGES = [
    f"{a} {b} {c}"
    for a in ("red", "blue", "green", "white")
    for b in ("house", "river", "stone", "cloud")
    for c in ("in spring", "in winter", "at night")
]
SOURCE = Source(
    name="colours",
    passages=PASSAGES,
    queries=[" ".join(p.split()[:2]) for p in PASSAGES],
    positives=list(range(len(PASSAGES))),
)
REAL = ProblemMix(synthetic=0.0, drawn=0.0, hard=0.5, lists=(2, 4))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer([*PASSAGES, "Query: Ranking: user assistant >"], vocab_size=300)


def sampler(tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> ProblemSampler:
    return ProblemSampler([SOURCE], tokenizer, seed=seed)


def texts_of(
    tokenizer: PreTrainedTokenizerBase, problems: ProblemBatch, row: int
) -> tuple[str, list[str]]:
    """Query and passages of one problem, read back from its tokens."""
    tokens = problems.tokens_BS[row]
    newlines = np.flatnonzero(tokens == tokenizer.convert_tokens_to_ids("\n"))
    query = tokenizer.decode(tokens[newlines[0] + 3 : newlines[1]])  # after "query" and ":"
    starts = [newlines[1] + 1, *(problems.labels_BN[row] + 2)]
    places = [place for place in problems.labels_BN[row] if place >= 0]
    return query, [tokenizer.decode(tokens[a:b]) for a, b in zip(starts, places, strict=False)]


def test_a_problem_is_the_prompt_of_the_task_and_its_answer(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    problems = sampler(tokenizer).batch(16, 80, REAL)
    for row in range(16):
        query, passages = texts_of(tokenizer, problems, row)
        (turn,) = listwise_messages(query, passages)
        prompt = render(tokenizer, [Message(role="user", content=turn["content"])])
        answers = problems.answers_BS[row]
        places = np.flatnonzero(answers != IGNORED)
        assert tuple(problems.tokens_BS[row, : len(prompt)]) == prompt
        assert places[0] == len(prompt) - 1  # the last prompt token predicts the first label
        assert (problems.tokens_BS[row, places + 1] == answers[places]).all()
        text = tokenizer.decode(answers[places], skip_special_tokens=True)
        parsed = parse_permutation(text, len(passages))
        assert parsed.well_formed
        scores = problems.scores_BN[row, list(parsed.order)]
        assert (np.diff(scores) <= 0).all()


def test_the_teacher_counts_shared_words_by_their_rarity(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    made = sampler(tokenizer)
    problems = made.batch(8, 80, REAL)
    count = len(PASSAGES)
    for row in range(8):
        query, passages = texts_of(tokenizer, problems, row)
        for score, passage in zip(problems.scores_BN[row], passages, strict=False):
            expected = 0.0
            for word in set(query.split()) & set(passage.split()):
                df = sum(word in p.split() for p in PASSAGES)
                idf = np.log(1 + (count - df + 0.5) / (df + 0.5)) / np.log(1 + count)
                # A word can be several tokens, of which each has the word's own document frequency
                # as no other word contains them.
                pieces = tokenizer(word)["input_ids"]
                expected += len(pieces) * idf  # tf = 1: (1 + .9) / (1 + .9)
            assert score == pytest.approx(expected, rel=1e-5)


def test_token_signals_mark_shared_tokens_inside_passages(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    problems = sampler(tokenizer).batch(8, 80, REAL)
    for row in range(8):
        weights = problems.matches_BS[row]
        places = problems.labels_BN[row][problems.labels_BN[row] >= 0]
        assert np.isnan(weights[places]).all()
        assert np.isnan(weights[places[-1] :]).all()
        total = np.nansum(weights)
        assert total == pytest.approx(problems.scores_BN[row].sum(), rel=1e-5)


def test_the_same_seed_gives_the_same_problems(tokenizer: PreTrainedTokenizerBase) -> None:
    mix = ProblemMix(synthetic=0.3, drawn=0.3, hard=0.5, lists=(2, 5))
    one, two, other = (sampler(tokenizer, seed).batch(6, 96, mix) for seed in (1, 1, 2))
    assert (one.tokens_BS == two.tokens_BS).all()
    assert (one.scores_BN == two.scores_BN).all()
    assert (one.tokens_BS != other.tokens_BS).any()


def test_hard_distractors_share_a_word(tokenizer: PreTrainedTokenizerBase) -> None:
    mix = ProblemMix(synthetic=0.0, drawn=0.0, hard=1.0, lists=(4, 4))
    problems = sampler(tokenizer).batch(32, 96, mix)
    assert (problems.scores_BN > 0).all()
