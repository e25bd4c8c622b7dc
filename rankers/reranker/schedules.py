"""Many queries through one reranker, with bounded memory: in lock-step, or each at its own pace.

Both take the problems as a stream, and both give every query the ranking that it gets alone.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from rankers.errors import BackendError
from rankers.reranker.reranker import Problem, Reranker
from rankers.types import Ranking, Trace


def lockstep(
    reranker: Reranker, problems: Iterable[Problem], *, at_once: int = 64, strict: bool = False
) -> Iterator[tuple[Problem, Ranking]]:
    """``at_once`` queries at a time, whose open questions share the batches of the engine.

    For an engine in this process, where a larger batch is a cheaper one.
    """
    stream = iter(problems)
    while chunk := list(islice(stream, at_once)):
        yield from zip(chunk, reranker.rank_many(chunk, strict=strict), strict=True)


def concurrently(
    reranker: Reranker, problems: Iterable[Problem], *, at_once: int = 16, strict: bool = False
) -> Iterator[tuple[Problem, Ranking]]:
    """``at_once`` queries at a time, none of which waits for another; in the order they finish.

    For an endpoint, where one long answer would hold up a whole batch. The reranker's backend must
    bear calls from several threads. A query of which no question is answered keeps its order,
    unless ``strict``, or it is the first to finish: then BackendError.
    """
    stream = iter(problems)
    answered = False
    with ThreadPoolExecutor(at_once) as pool:
        running: dict[Future[Ranking], Problem] = {}
        while True:
            for problem in islice(stream, at_once - len(running)):
                running[pool.submit(reranker.rank, *problem, strict=strict)] = problem
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                problem = running.pop(future)
                error = future.exception()
                if isinstance(error, BackendError) and answered and not strict:
                    order = tuple(range(len(problem[1])))
                    yield problem, Ranking(order=order, trace=Trace(calls=1, failures=1))
                else:
                    yield problem, future.result()
                    answered = True
