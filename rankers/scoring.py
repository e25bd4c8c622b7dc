"""Scoring plans: every candidate gets a score from the model, and the order follows from them."""

from rankers.plans import Outcome, Plan, Scores, by_score


def pointwise(n: int) -> Plan[float]:
    """One question per candidate, all in one batch: the model sees nothing else beside it.

    A single candidate is asked about too: its score says more than its rank. Where the engine
    fails on any candidate, the input order stays and there are no scores.
    """
    scores = (yield [(i,) for i in range(n)]) if n else []
    known = [score for score in scores if score is not None]
    return by_score(known, range(n)) if len(known) == n else Outcome(tuple(range(n)), ())


def rescored(n: int, *, passes: int = 1) -> Plan[Scores]:
    """One question about all candidates per pass, in the order that the pass before left.

    Where the engine fails in a pass, what stood before it stays; in the first, that is the input
    order without scores.
    """
    if passes < 1:
        raise ValueError(f"passes must be >= 1, got {passes}")
    outcome = Outcome(tuple(range(n)), ())
    for _ in range(passes if n else 0):
        [scores] = yield [outcome.order]
        if scores is not None:
            outcome = by_score(scores, outcome.order)
    return outcome
