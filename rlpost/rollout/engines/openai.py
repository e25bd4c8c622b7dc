"""Any OpenAI-compatible endpoint as an engine: our own server or a hosted model. It samples, and
cannot be trained.

For training-free methods and judges. Text is all that an endpoint owes us; a vLLM server also
returns token ids with their log-probabilities (at the sampling distribution when it was started
with ``--logprobs-mode processed_logprobs``), and then completions carry them. Elsewhere both are
empty, so that nobody can train on guessed ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rankers.backends.dialect import MOST_LESSONS, Dialect, answer_of
from rankers.errors import DataError, UserError, boundary
from rankers.secrets import key_of, plain_url, without_key
from rlpost.errors import EngineError
from rlpost.types import Completion, PolicyRef, Prompt, Sampling

KEY = "OPENAI_API_KEY"


class OpenAiEngine:
    """Samples over HTTP, one request per sibling, several at a time.

    ``version`` is always 0. Whether a seed repeats, and what fits the context, is up to the
    endpoint.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str,
        api_key: str | None = None,
        concurrency: int = 8,
        timeout_s: float = 120.0,
        retries: int = 2,
        token_ids: bool = False,
    ) -> None:
        """``api_key`` defaults to the environment's OPENAI_API_KEY; ``token_ids`` asks for them,
        which only vLLM servers know. Raises UserError when the client is not installed."""
        try:
            from openai import OpenAI
        except ModuleNotFoundError as exc:
            raise UserError("the OpenAI client is not installed: install rlpost[openai]") from exc
        self._key = key_of(KEY, api_key)
        self._client = OpenAI(
            base_url=plain_url(base_url, variable=KEY),
            api_key=self._key,
            timeout=timeout_s,
            max_retries=retries,
        )
        self._base_url = base_url
        self._model = model
        self._dialect = Dialect(model)
        self._concurrency = concurrency
        self._token_ids = token_ids

    @property
    def version(self) -> int:
        return 0

    def generate(
        self, prompts_P: Sequence[Prompt], *, seeds_P_G: Sequence[Sequence[int]], sampling: Sampling
    ) -> list[list[Completion]]:
        """See ``Engine.generate``."""
        with ThreadPoolExecutor(self._concurrency) as pool:
            futures_P_G = [
                [pool.submit(self._sample, prompt, seed, sampling) for seed in seeds_G]
                for prompt, seeds_G in zip(prompts_P, seeds_P_G, strict=True)
            ]
            return [[future.result() for future in futures_G] for futures_G in futures_P_G]

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        """Raises EngineError: a chat endpoint does not score given tokens."""
        raise EngineError(f"{self._base_url} cannot score given tokens: use engine vllm or hf")

    def load(self, policy: PolicyRef) -> None:
        """Raises UserError: the weights behind an endpoint are not ours."""
        raise UserError(
            f"the weights behind {self._base_url} cannot be trained: use engine vllm or hf, or a "
            "training-free method"
        )

    def close(self) -> None:
        self._client.close()

    def _sample(self, prompt: Prompt, seed: int, sampling: Sampling) -> Completion:
        from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAIError

        extra: dict[str, Any] = {"logprobs": True} if self._token_ids else {}
        with boundary(EngineError, f"asking {self._base_url} about prompt {prompt.id!r}"):
            try:
                response = self._ask(
                    {
                        "messages": [
                            {"role": m.role, "content": m.content} for m in prompt.messages
                        ],
                        "seed": seed,
                        "temperature": sampling.temperature,
                        "max_tokens": sampling.max_tokens,
                        **extra,
                    }
                )
            except (AuthenticationError, BadRequestError, NotFoundError, DataError) as exc:
                told = without_key(str(exc), self._key)
                raise UserError(
                    f"{self._base_url} refused prompt {prompt.id!r} for model {self._model}: {told}"
                ) from exc
            except OpenAIError as exc:
                told = without_key(f"{type(exc).__name__}: {exc}", self._key)
                raise EngineError(
                    f"asking {self._base_url} about prompt {prompt.id!r}: {told}"
                ) from exc
            return self._completion(response.choices[0])

    def _ask(self, request: dict[str, Any]) -> Any:
        from openai import BadRequestError

        body = {"return_token_ids": True} if self._token_ids else None
        lessons = 0
        while True:
            asked = self._dialect.adapted(request)
            try:
                return self._client.chat.completions.create(
                    model=self._model, extra_body=body, **asked
                )
            except BadRequestError as refusal:
                lessons += 1
                if lessons > MOST_LESSONS or not self._dialect.learns(refusal, asked):
                    raise

    def _completion(self, choice: Any) -> Completion:
        token_ids: list[int] = []
        logprobs_T: list[float] = []
        if self._token_ids:
            token_ids = choice.token_ids
            logprobs_T = [token.logprob for token in choice.logprobs.content]
            if len(token_ids) != len(logprobs_T):
                raise EngineError(
                    f"{self._base_url} returned {len(token_ids)} token ids with "
                    f"{len(logprobs_T)} log-probs"
                )
        return Completion(
            token_ids=tuple(token_ids),
            logprobs_T=tuple(logprobs_T),
            versions_T=(0,) * len(token_ids),
            finish="stop" if choice.finish_reason == "stop" else "length",
            text=answer_of(choice),
        )
