"""The ledger: admission by staleness, nothing lost on any failure, state that goes through JSON."""

from __future__ import annotations

import json
import random

import pytest

from rlpost.streaming.frontier import CompletedPositions
from rlpost.streaming.ledger import Ledger
from rlpost.types import GroupKey, Prompt, Ticket


def ticket(index: int, attempt: int) -> Ticket:
    prompt = Prompt(id=f"q{index}", messages=(), token_ids=(1,))
    return Ticket(index=index, key=GroupKey("run", 0, prompt.id, attempt), prompt=prompt)


def ledger(
    *, steps: int = 10, max_lag: int = 0, max_attempts: int = 3, prompts_per_call: int = 1
) -> Ledger:
    return Ledger(
        ticket_at=ticket,
        steps=steps,
        groups_per_step=4,
        prompts_per_call=prompts_per_call,
        max_lag=max_lag,
        max_attempts=max_attempts,
    )


def positions(tickets: list[Ticket]) -> list[tuple[int, int]]:
    return [(t.index, t.key.attempt) for t in tickets]


def test_synchronous_admission_is_one_step_at_a_time() -> None:
    book = ledger(max_lag=0)
    assert positions(book.admit(0)) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert book.admit(0) == []
    for index in range(4):
        book.queued(index)
    assert book.admit(0) == []
    book.trained(range(4))
    assert book.admit(0) == [], "the new policy is not in the engines yet"
    assert positions(book.admit(1)) == [(4, 0), (5, 0), (6, 0), (7, 0)]


def test_admission_follows_the_formula_for_any_lag() -> None:
    # (max_lag + version + 1) * groups_per_step - (accepted + running)
    book = ledger(max_lag=1)
    assert len(book.admit(0)) == (1 + 0 + 1) * 4
    for index in range(4):
        book.queued(index)
    book.trained(range(4))
    assert len(book.admit(1)) == (1 + 1 + 1) * 4 - (4 + 4)
    assert len(book.admit(3)) == (1 + 3 + 1) * 4 - (4 + 8)


def test_nothing_is_started_beyond_the_last_step() -> None:
    assert len(ledger(steps=2, max_lag=5).admit(0)) == 2 * 4


def test_a_dead_worker_repeats_the_attempt_and_stale_or_failed_draws_a_new_one() -> None:
    book = ledger()
    book.admit(0)
    assert book.interrupted(2, 0, "died")
    assert book.stale(1, 0)
    assert book.failed(3, 0, "broken")
    book.requeue(0, 0)
    assert positions(book.admit(0)) == [(0, 0), (1, 1), (2, 0), (3, 1)]


def test_a_repeated_report_counts_once() -> None:
    book = ledger(max_attempts=2)
    book.admit(0)
    book.queued(1)
    assert book.stale(1, 0)
    assert not book.stale(1, 0)
    book.admit(0)
    assert not book.stale(1, 0), "attempt 1 is under way"
    assert book.quarantined == {}


def test_a_prompt_that_fails_too_often_gives_its_place_to_another() -> None:
    book = ledger(max_attempts=2)
    book.admit(0)
    book.failed(1, 0, "broken once")
    assert book.is_suspect(1)
    assert positions(book.admit(0)) == [(1, 1)]
    book.failed(1, 1, "broken twice")
    assert book.quarantined == {1: "broken twice"}
    assert positions(book.admit(0)) == [(4, 0)]
    for index in (0, 2, 3, 4):
        book.queued(index)
    book.trained([0, 2, 3, 4])
    assert (book.num_trained, book.num_queued, book.num_running) == (4, 0, 0)


def test_a_lost_queue_is_refilled() -> None:
    book = ledger()
    book.admit(0)
    book.stale(2, 0)
    book.admit(0)
    book.queued(2)
    book.queued(3)
    assert book.requeue_queued() == [2, 3]
    assert positions(book.admit(0)) == [(2, 1), (3, 0)]


def test_a_filtered_group_gives_its_place_to_the_next_prompt() -> None:
    book = ledger(max_lag=1)
    book.admit(0)
    book.filtered(2, 1.0)
    assert positions(book.admit(0)) == [(8, 0)]
    assert (book.num_trained, book.num_running) == (0, 8)
    assert book.filtered_since_step == {2: 1.0}
    for index in (0, 1, 3, 4):
        book.queued(index)
    book.trained([0, 1, 3, 4])
    assert book.num_trained == 4
    assert book.filtered_since_step == {}


def test_a_group_that_is_trained_after_all_counts_as_trained() -> None:
    """Leased, lost with its queue, rolled out again under another policy, and left out there."""
    book = ledger(max_lag=1)
    book.admit(0)
    for index in range(4):
        book.queued(index)
    book.requeue_queued()
    book.admit(0)
    book.filtered(2, 0.0)
    book.trained(range(4))
    assert book.num_trained == 4
    assert positions(book.admit(1)) == [(8, 0), (9, 0), (10, 0), (11, 0)]


def test_places_of_filtered_groups_are_refilled_by_whole_calls() -> None:
    book = ledger(max_lag=1, prompts_per_call=2)
    book.admit(0)
    book.filtered(2, 1.0)
    assert book.admit(0) == []
    book.filtered(3, 1.0)
    assert positions(book.admit(0)) == [(8, 0), (9, 0)]
    for index in (0, 1, 4, 5, 6, 7, 8):
        book.queued(index)
    book.filtered(9, 1.0)
    assert positions(book.admit(0)) == [(10, 0)], "nothing else is running"


def test_a_synchronous_run_refills_in_rounds_also_after_a_restart() -> None:
    """As the loop does: the next round starts when every group of the last one is judged."""
    book = ledger()
    book.admit(0)
    book.filtered(0, 0.0)
    book.queued(1)
    assert book.admit(0) == [], "2 and 3 are still being sampled"
    resumed = ledger()
    resumed.restore(json.loads(json.dumps(book.state())), queued={1: 0})
    assert positions(resumed.admit(0)) == [(2, 0), (3, 0)]
    resumed.filtered(2, None)
    resumed.queued(3)
    assert positions(resumed.admit(0)) == [(4, 0), (5, 0)]
    assert resumed.filtered_since_step == {0: 0.0, 2: None}


def test_training_twice_is_an_error() -> None:
    book = ledger()
    book.admit(0)
    book.trained([0])
    with pytest.raises(ValueError, match="position 0 is settled already"):
        book.trained([0])


@pytest.mark.parametrize("seed", range(20))
def test_whatever_fails_every_position_is_settled_once_across_restarts(seed: int) -> None:
    rng = random.Random(seed)
    settings = {"max_lag": seed % 2, "prompts_per_call": 1 + seed % 3, "max_attempts": 10**6}
    book, version, trained = ledger(**settings), 0, []
    waiting: set[int] = set()
    running: dict[int, Ticket] = {}
    filtered: list[int] = []
    while book.num_trained < 40:
        running |= {t.index: t for t in book.admit(version)}
        assert 0 < len(running) + len(waiting) <= (seed % 2 + 1) * 4
        if running:
            index, run = running.popitem()
            fate = rng.choice(["ok", "ok", "ok", "filtered", "died", "broken", "restart"])
            if fate == "ok":
                book.queued(index)
                waiting.add(index)
            elif fate == "filtered":
                book.filtered(index, 0.0)
                filtered.append(index)
            elif fate == "died":
                book.interrupted(index, run.key.attempt, "died")
            elif fate == "broken":
                book.failed(index, run.key.attempt, "broken")
            else:
                state = json.loads(json.dumps(book.state()))
                book = ledger(**settings)
                kept = {i for i in waiting if rng.random() < 0.5}
                book.restore(state, queued=dict.fromkeys(kept, 0))
                waiting, running = kept, {}
        if len(waiting) >= 4:
            step = sorted(waiting)[:4]
            book.trained(step)
            trained += step
            waiting -= set(step)
            version += 1
    assert len(trained) == 40
    assert sorted(trained + filtered) == list(range(40 + len(filtered)))


def test_a_frontier_keeps_only_what_is_out_of_order() -> None:
    frontier = CompletedPositions()
    for index in (1, 0, 3, 4):
        frontier.add(index)
    assert (frontier.below, frontier.beyond, len(frontier)) == (2, [3, 4], 4)
    assert [i for i in range(6) if i in frontier] == [0, 1, 3, 4]
