"""Any OpenAI-compatible endpoint as a backend: a server of one's own, or a hosted model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from rankers.backends.dialect import MOST_LESSONS, Dialect, answer_of
from rankers.errors import BackendError, DataError, NoEngineError
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import LabelScores, TextCompletion
from rankers.secrets import key_of, plain_url, without_key

KEY = "OPENAI_API_KEY"
MOST_LISTED = 20
"""Alternatives of a token that the protocol lists at most."""

T = TypeVar("T")


class OpenAiBackend:
    """Asks over HTTP, all chats of a call at once within a limit that all calls share.

    A request that times out, is refused for overload or fails in the server is repeated with
    exponential back-off and jitter, or after what ``Retry-After`` says; one that still fails is a
    BackendError in its own place. Greedy, as far as the endpoint is. Threads may share a backend;
    it pickles, and connects when it is first used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str,
        api_key: str | None = None,
        concurrency: int = 16,
        timeout_s: float = 120.0,
        retries: int = 4,
        vllm_server: bool = False,
        chat_options: Mapping[str, object] | None = None,
    ) -> None:
        """``api_key`` defaults to the environment's OPENAI_API_KEY; ``timeout_s`` is for one
        attempt. ``vllm_server`` says that the endpoint is one, which can open an answer, score any
        label exactly and pass ``chat_options`` to the chat template.

        Raises NoEngineError when the client is not installed, DataError for a limit below 1.
        """
        if concurrency < 1:
            raise DataError(f"concurrency must be at least 1, got {concurrency}")
        self._settings = {
            "base_url": base_url,
            "model": model,
            "api_key": api_key,
            "concurrency": concurrency,
            "timeout_s": timeout_s,
            "retries": retries,
            "vllm_server": vllm_server,
            "chat_options": chat_options,
        }
        try:
            from openai import AsyncOpenAI
        except ModuleNotFoundError as exc:
            raise NoEngineError(
                "the OpenAI client is not installed: install rlpost[openai]"
            ) from exc
        self._key = key_of(KEY, api_key)
        self._client = AsyncOpenAI(
            base_url=plain_url(base_url, variable=KEY),
            api_key=self._key,
            timeout=timeout_s,
            max_retries=retries,
        )
        self._base_url = base_url
        self._model = model
        self._dialect = Dialect(model)
        self._vllm_server = vllm_server
        self._extra: dict[str, object] = (
            {"chat_template_kwargs": dict(chat_options)} if vllm_server and chat_options else {}
        )
        self._slots = asyncio.Semaphore(concurrency)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()

    def __reduce__(self) -> tuple[Callable[..., OpenAiBackend], tuple[dict[str, Any]]]:
        return _rebuilt, (self._settings,)

    def complete(
        self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
    ) -> list[TextCompletion | BackendError]:
        """See ``Backend.complete``."""
        return self._run(self._all([self._complete(chat, max_tokens) for chat in chats]))

    def label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores | BackendError]:
        """See ``LabelBackend.label_logprobs``; exact on a vLLM server.

        Elsewhere the endpoint lists its 20 most probable tokens. A label that is none of them gets
        the log-probability of the last one listed and is marked as ``bounded``: it can only be less
        probable. An answer without any of the labels is a BackendError. Raises DataError for a
        ``primer``: other endpoints cannot open the answer.
        """
        return self._run(self._label_logprobs(chats, list(labels), primer))

    def close(self) -> None:
        """Close the connections."""
        if self._loop is not None:
            self._run(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    async def _label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], labels: list[str], primer: str
    ) -> list[LabelScores | BackendError]:
        options: dict[str, Any] = {"logprobs": True}
        if self._vllm_server:
            ids = await self._label_ids(labels, primer)
            names = [f"token_id:{token}" for token in ids]
            extra: dict[str, Any] = {"logprob_token_ids": ids, "return_tokens_as_token_ids": True}
            if primer:
                chats = [[*chat, {"role": "assistant", "content": primer}] for chat in chats]
                extra |= {"continue_final_message": True, "add_generation_prompt": False}
            options["extra"] = extra
        elif primer:
            raise DataError(
                f"{self._base_url} cannot open an answer with {primer!r}: use a vLLM server and "
                "say so, or a method that generates its answers"
            )
        else:
            names = labels
            options["top_logprobs"] = MOST_LISTED
        return await self._all([self._label_scores(chat, names, options) for chat in chats])

    async def _label_ids(self, labels: Sequence[str], primer: str) -> list[int]:
        texts = [primer, *(primer + label for label in labels)]
        found = await self._all([self._tokens(text) for text in texts])
        for ids in found:
            if isinstance(ids, BackendError):
                raise ids
        start, *labelled = [ids for ids in found if not isinstance(ids, BackendError)]
        for label, ids in zip(labels, labelled, strict=True):
            if len(ids) != len(start) + 1 or ids[: len(start)] != start:
                raise DataError(
                    f"label {label!r} after {primer!r} is not one token of {self._model}: use a "
                    "method that generates its answers"
                )
        return [ids[-1] for ids in labelled]

    async def _tokens(self, text: str) -> list[int]:
        answer: Any = await self._client.post(
            f"{self._base_url.rstrip('/').removesuffix('/v1')}/tokenize",
            body={"model": self._model, "prompt": text, "add_special_tokens": False},
            cast_to=object,
        )
        tokens: list[int] = answer["tokens"]
        return tokens

    async def _complete(self, chat: Sequence[ChatMessage], max_tokens: int) -> TextCompletion:
        response = await self._ask(chat, max_tokens=max_tokens)
        return TextCompletion(
            text=answer_of(response.choices[0]),
            prompt_tokens=response.usage.prompt_tokens if response.usage else 0,
            generated_tokens=response.usage.completion_tokens if response.usage else 0,
        )

    async def _label_scores(
        self, chat: Sequence[ChatMessage], names: Sequence[str], options: dict[str, Any]
    ) -> LabelScores:
        response = await self._ask(chat, max_tokens=1, **options)
        logprobs = response.choices[0].logprobs
        if logprobs is None or not logprobs.content:
            raise BackendError(f"{self._base_url} returned no log-probabilities for {self._model}")
        listed = {item.token: item.logprob for item in logprobs.content[0].top_logprobs}
        bounded = tuple(name not in listed for name in names)
        if all(bounded):
            raise BackendError(
                f"none of the labels {', '.join(names)} is among the most probable tokens of "
                f"{self._model}"
            )
        least = min(listed.values())
        return LabelScores(
            logprobs=tuple(listed.get(name, least) for name in names),
            prompt_tokens=response.usage.prompt_tokens if response.usage else 0,
            bounded=bounded,
        )

    async def _ask(
        self,
        chat: Sequence[ChatMessage],
        *,
        extra: Mapping[str, object] | None = None,
        **options: Any,
    ) -> Any:
        from openai import BadRequestError

        body = {**self._extra, **(extra or {})}
        request = {"messages": list(chat), "temperature": 0.0, **options}
        for lessons in range(MOST_LESSONS + 1):
            asked = self._dialect.adapted(request)
            try:
                response: Any = await self._client.chat.completions.create(
                    model=self._model, extra_body=body, **asked
                )
                break
            except BadRequestError as refusal:
                if lessons == MOST_LESSONS or not self._dialect.learns(refusal, asked):
                    raise
        if not response.choices:
            raise BackendError(f"{self._base_url} answered {self._model} without a choice")
        return response

    async def _all(self, asked: Sequence[Coroutine[Any, Any, T]]) -> list[T | BackendError]:
        return list(await asyncio.gather(*(self._guarded(one) for one in asked)))

    async def _guarded(self, asked: Coroutine[Any, Any, T]) -> T | BackendError:
        from openai import AuthenticationError, NotFoundError, OpenAIError, PermissionDeniedError

        async with self._slots:
            try:
                return await asked
            except (AuthenticationError, PermissionDeniedError, NotFoundError) as exc:
                told = without_key(str(exc), self._key)
                raise DataError(
                    f"{self._base_url} refuses model {self._model!r} ({told}): check URL, model "
                    f"and {KEY}"
                ) from exc
            except DataError:
                raise
            except BackendError as exc:
                return exc
            except (OpenAIError, KeyError, ValueError) as exc:
                told = without_key(str(exc), self._key)
                return BackendError(f"{self._base_url}: {type(exc).__name__}: {told}")

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _rebuilt(settings: dict[str, Any]) -> OpenAiBackend:
    return OpenAiBackend(**settings)
