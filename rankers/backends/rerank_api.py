"""A reranker behind a URL, with the /v1/rerank that we, Cohere and Jina serve, as a Reranker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from rankers.errors import BackendError, DataError, NoEngineError
from rankers.reranker.judges import RankingPrompt, Reply, exact
from rankers.reranker.plans import Order, RankingPlan, by_rank, unseeded
from rankers.reranker.reranker import PlannedReranker
from rankers.secrets import key_of, plain_url, without_key

KEY = "RLPOST_API_KEY"
DEGRADED = "the model failed on"
"""How our own server begins the warning that part of an order is that of the input."""


def served_reranker(
    url: str,
    *,
    model: str | None = None,
    timeout_s: float = 120.0,
    retries: int = 4,
    concurrency: int = 16,
) -> PlannedReranker[Order]:
    """Ranks by requests to ``url``, such as http://127.0.0.1:8000, one for each query.

    ``model``: of those served there, by default the first. ``timeout_s`` is for one attempt, and
    ``concurrency`` requests are under way at most. The scores say no more than the order, since
    services differ in theirs. The key is the environment's RLPOST_API_KEY.
    """
    judge = ServedScorer(
        url, model=model, timeout_s=timeout_s, retries=retries, concurrency=concurrency
    )
    return PlannedReranker(name="served", plan=partial(unseeded, in_one_request), judge=judge)


def in_one_request(n: int) -> RankingPlan[Order]:
    """Ask for the order of all candidates; that of the input where there is no answer."""
    if not n:
        return by_rank(())
    given = tuple(range(n))
    [answer] = yield [given]
    return by_rank(given if answer is None else answer)


class ServedScorer:
    """Each question is a request; its answer is the order of all its passages.

    A request that times out, is turned away for overload or fails in the server is repeated with
    exponential back-off and jitter, or after what ``Retry-After`` says; one that still fails is a
    BackendError in its own place. Threads may share a judge; it pickles.
    """

    def __init__(
        self, url: str, *, model: str | None, timeout_s: float, retries: int, concurrency: int
    ) -> None:
        """Raises NoEngineError when the client is not installed, DataError for a limit below 1."""
        if concurrency < 1:
            raise DataError(f"concurrency must be at least 1, got {concurrency}")
        try:
            from openai import OpenAI  # for its requests: pooled, timed, repeated
        except ModuleNotFoundError as exc:
            raise NoEngineError(
                "the OpenAI client is not installed: install rlpost[openai]"
            ) from exc
        self._settings = {
            "url": url,
            "model": model,
            "timeout_s": timeout_s,
            "retries": retries,
            "concurrency": concurrency,
        }
        self._url = url
        self._model = model
        self._concurrency = concurrency
        self._key = key_of(KEY)
        self._client = OpenAI(
            base_url=plain_url(url, variable=KEY),
            api_key=self._key,
            timeout=timeout_s,
            max_retries=retries,
        )

    def __reduce__(self) -> tuple[Callable[..., ServedScorer], tuple[dict[str, Any]]]:
        return _rebuilt, (self._settings,)

    def __call__(self, questions: Sequence[RankingPrompt]) -> list[Reply[Order] | BackendError]:
        """See ``Judge``. DataError where the server refuses key, model or texts."""
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(self._reply, questions))

    def _reply(self, question: RankingPrompt) -> Reply[Order] | BackendError:
        from openai import APIStatusError, OpenAIError

        body: dict[str, Any] = {
            "query": question.query,
            "documents": list(question.passages),
            "return_documents": False,
        }
        if self._model is not None:
            body["model"] = self._model
        try:
            answer = self._client.post("/v1/rerank", body=body, cast_to=object)
        except APIStatusError as exc:
            said = without_key(exc.response.text, self._key)
            told = f"{self._url}: {exc.status_code} {said:.300}"
            if exc.status_code < 500 and exc.status_code not in (408, 409, 429):
                raise DataError(f"{told}: check the URL, the model, {KEY} and the texts") from exc
            return BackendError(told)
        except OpenAIError as exc:
            return BackendError(f"{self._url}: {exc} Is a reranker served there?")
        return _read(answer, len(question.passages), self._url)


def _read(answer: Any, n: int, url: str) -> Reply[Order] | BackendError:
    try:
        order = tuple(int(result["index"]) for result in answer["results"])
        warnings = (answer.get("meta") or {}).get("warnings") or []
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        return BackendError(f"{url} gave no ranking: {type(exc).__name__}: {exc}")
    if any(str(warning).startswith(DEGRADED) for warning in warnings):
        return BackendError(f"{url}: {warnings[0]}")
    if sorted(order) != list(range(n)):
        return BackendError(f"{url} gave {order} for {n} documents: not each document once")
    return Reply(reading=exact(order))


def _rebuilt(settings: dict[str, Any]) -> ServedScorer:
    return ServedScorer(**settings)
