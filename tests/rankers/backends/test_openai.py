"""The endpoint backend, against a real HTTP server that fails, delays and limits."""

import itertools
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rankers.backends.openai import OpenAiBackend
from rankers.errors import BackendError, DataError
from rankers.methods import listwise_reranker, setwise_likelihood_reranker
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import LabelScores, TextCompletion
from rankers.types import Passage, Query
from tests.endpoint import Body, Endpoint, Reply, chat_reply, serving

pytest.importorskip("openai", reason="the OpenAI client is not installed")


def chats(*texts: str) -> list[list[ChatMessage]]:
    return [[{"role": "user", "content": text}] for text in texts]


def echo(body: Body) -> Reply:
    return chat_reply(f"re: {body['messages'][-1]['content']}")


@contextmanager
def connected(
    answer: Callable[[Body], Reply], **options: Any
) -> Iterator[tuple[OpenAiBackend, Endpoint]]:
    with serving(answer) as endpoint:
        backend = OpenAiBackend(endpoint.url, model="m", **options)
        yield backend, endpoint
        backend.close()


def test_answers_in_order_with_their_cost() -> None:
    texts = [f"question {i}" for i in range(20)]
    with connected(echo, api_key="secret") as (backend, endpoint):
        found = backend.complete(chats(*texts), max_tokens=5)
    assert found == [
        TextCompletion(text=f"re: {text}", prompt_tokens=7, generated_tokens=2) for text in texts
    ]
    assert {(b["temperature"], b["max_tokens"], b["key"]) for b in endpoint.asked} == {
        (0.0, 5, "Bearer secret")
    }


def test_no_more_requests_at_once_than_allowed_whoever_asks() -> None:
    def slow(body: Body) -> Reply:
        return Reply(body=echo(body).body, delay_s=0.05)

    with connected(slow, concurrency=3) as (backend, endpoint):
        threads = [
            threading.Thread(
                target=backend.complete, args=[chats(*"abcd")], kwargs={"max_tokens": 1}
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert endpoint.most_open == 3
    assert len(endpoint.asked) == 12


def test_overload_is_waited_for_as_long_as_the_server_says() -> None:
    first = itertools.count()

    def busy_twice(body: Body) -> Reply:
        if next(first) < 2:
            return Reply(status=429, headers={"Retry-After": "0.2"})
        return echo(body)

    with connected(busy_twice) as (backend, endpoint):
        assert backend.complete(chats("a"), max_tokens=1)[0].text == "re: a"  # type: ignore[union-attr]
    assert len(endpoint.asked) == 3
    assert all(b - a >= 0.2 for a, b in itertools.pairwise(endpoint.times))


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(status=500), "InternalServerError"),
        (Reply(status=400, body={"error": {"message": "too long"}}), "too long"),
        (Reply(delay_s=1.0), "APITimeoutError"),
        (Reply(body={"choices": []}), "without a choice"),
    ],
)
def test_one_request_that_fails_leaves_the_others_alone(reply: Reply, says: str) -> None:
    def bad_for_b(body: Body) -> Reply:
        return reply if body["messages"][-1]["content"] == "b" else echo(body)

    with connected(bad_for_b, retries=0, timeout_s=0.5) as (backend, _):
        first, failed, last = backend.complete(chats("a", "b", "c"), max_tokens=1)
    assert isinstance(first, TextCompletion)
    assert isinstance(last, TextCompletion)
    assert isinstance(failed, BackendError)
    assert says in str(failed)


def test_nobody_listening_is_a_failure_not_an_answer() -> None:
    with serving(echo) as endpoint:
        url = endpoint.url
    [found] = OpenAiBackend(url, model="m", retries=0).complete(chats("a"), max_tokens=1)
    assert isinstance(found, BackendError)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_model_is_said_at_once(status: int) -> None:
    with (
        connected(lambda body: Reply(status=status)) as (backend, _),
        pytest.raises(DataError, match="refuses model 'm'"),
    ):
        backend.complete(chats("a", "b"), max_tokens=1)
    with pytest.raises(DataError, match="concurrency must be at least 1, got 0"):
        OpenAiBackend("http://localhost", model="m", concurrency=0)


def test_listed_labels_are_exact_and_the_others_bounded() -> None:
    table = {"A": -0.5, "x": -2.0, "B": -1.5, "y": -4.0}
    with connected(lambda body: chat_reply("A", logprobs=table)) as (backend, endpoint):
        [found] = backend.label_logprobs(chats("q"), labels=("A", "B", "C"), primer="")
        assert found == LabelScores(
            logprobs=(-0.5, -1.5, -4.0), prompt_tokens=7, bounded=(False, False, True)
        )
        passages = [Passage(id=str(i), text="text") for i in range(3)]
        trace = setwise_likelihood_reranker(backend).rank(Query(id="q", text="q"), passages).trace
        assert trace.malformed == {"missing": 1, "ok": 1}  # three shown, then the last two
        [none] = backend.label_logprobs(chats("q"), labels=("C", "D"), primer="")
        assert isinstance(none, BackendError)
        with pytest.raises(DataError, match=r"cannot open an answer with '\['"):
            backend.label_logprobs(chats("q"), labels=("A",), primer="[")
    body = endpoint.asked[0]
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"]) == (True, 20, 1)


def test_a_vllm_server_opens_the_answer_and_scores_every_label() -> None:
    def answer(body: Body) -> Reply:
        if body["path"] == "/tokenize":
            return Reply(body={"tokens": [ord(c) for c in body["prompt"]]})
        return chat_reply(
            "", logprobs={f"token_id:{i}": -i / 10 for i in body["logprob_token_ids"]}
        )

    with connected(answer, vllm_server=True) as (backend, endpoint):
        [found] = backend.label_logprobs(chats("q"), labels=("B", "A"), primer="[")
        assert found == LabelScores(logprobs=(-6.6, -6.5), prompt_tokens=7, bounded=(False, False))
        with pytest.raises(DataError, match="label '12' after"):
            backend.label_logprobs(chats("q"), labels=("12",), primer="[")
    body = next(body for body in endpoint.asked if "messages" in body)
    assert body["messages"][-1] == {"role": "assistant", "content": "["}
    assert body["continue_final_message"]
    assert not body["add_generation_prompt"]


def test_reasoning_that_a_server_parted_from_the_answer_is_put_back() -> None:
    reply = chat_reply("<answer>[1]</answer>", reasoning_content="hm")
    with connected(lambda body: reply) as (backend, _):
        [found] = backend.complete(chats("q"), max_tokens=1)
    assert found.text == "<think>hm</think><answer>[1]</answer>"  # type: ignore[union-attr]


def test_a_reranker_over_http_pickles_and_marks_what_failed() -> None:
    def answer(body: Body) -> Reply:
        content = body["messages"][-1]["content"]
        return Reply(status=500) if "broken" in content else chat_reply("[2] > [1]")

    passages = [Passage(id=str(i), text="text") for i in range(2)]
    with connected(answer, retries=0) as (backend, _):
        reranker = pickle.loads(pickle.dumps(listwise_reranker(backend)))
        good, bad = reranker.rank_many(
            [(Query(id="1", text="fine"), passages), (Query(id="2", text="broken"), passages)]
        )
    assert (good.order, good.trace.degraded) == ((1, 0), False)
    assert (bad.order, bad.trace.degraded) == ((0, 1), True)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "thinking"])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<answer>[1]</answer>", "<think>hm</think><answer>[1]</answer>"),
        (None, "<think>hm</think>"),
        ("", "<think>hm</think>"),
        ("<think>hm</think>\n[1]", "<think>hm</think>\n[1]"),
    ],
)
def test_reasoning_is_read_by_whichever_name(field: str, content: Any, text: str) -> None:
    with connected(lambda body: chat_reply(content, **{field: "hm"})) as (backend, _):
        [found] = backend.complete(chats("q"), max_tokens=1)
    assert found.text == text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("so.\n</think>\n<answer>[2]</answer>", "<think>so.\n</think>\n<answer>[2]</answer>"),
        ("<think>a</think> b </think> c", "<think>a</think> b </think> c"),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "[2] > [1]"},
            ],
            "<think>hm</think>[2] > [1]",
        ),
    ],
)
def test_reasoning_within_the_content_is_read_too(content: Any, text: str) -> None:
    reply = chat_reply(content, reasoning=None, reasoning_content="")  # type: ignore[arg-type]
    with connected(lambda body: reply) as (backend, _):
        [found] = backend.complete(chats("q"), max_tokens=1)
    assert found.text == text  # type: ignore[union-attr]


def test_reasoning_that_was_cut_off_is_not_closed() -> None:
    reply = chat_reply("", reasoning="[2] > [1] would")
    reply.body["choices"][0]["finish_reason"] = "length"  # type: ignore[index]
    with connected(lambda body: reply) as (backend, _):
        [found] = backend.complete(chats("q"), max_tokens=1)
    assert found.text == "<think>[2] > [1] would"  # type: ignore[union-attr]


def refusing(**refusals: str) -> Callable[[Body], Reply]:
    """An endpoint that refuses these parameters, one at a time, in the words given."""

    def answer(body: Body) -> Reply:
        for name, words in refusals.items():
            if name in body and not (name == "temperature" and body[name] == 1):
                error = {"message": words.format(name=name), "param": name, "code": "unsupported"}
                return Reply(status=400, body={"error": error | {"type": "invalid_request_error"}})
        return chat_reply("[2] > [1]")

    return answer


UNSUPPORTED = "Unsupported parameter: '{name}' is not supported with this model."
INSTEAD = UNSUPPORTED + " Use 'max_completion_tokens' instead."
VALUE = (
    "Unsupported value: '{name}' does not support 0.0 with this model. Only the default (1) value "
    "is supported."
)


@pytest.mark.parametrize("model", ["gpt-5-mini", "openai/gpt-5", "o3", "o4-mini", "my-deployment"])
def test_a_hosted_reasoning_model_is_asked_in_its_own_terms(model: str) -> None:
    with serving(refusing(max_tokens=INSTEAD, temperature=VALUE)) as endpoint:
        backend = OpenAiBackend(endpoint.url, model=model)
        first = backend.complete(chats("a"), max_tokens=20)
        asked = len(endpoint.asked)
        second = backend.complete(chats("b", "c"), max_tokens=20)
        backend.close()
    assert [found.text for found in first + second] == ["[2] > [1]"] * 3  # type: ignore[union-attr]
    assert asked == (3 if model == "my-deployment" else 1)
    assert len(endpoint.asked) == asked + 2, "what it refuses is remembered"
    assert endpoint.asked[-1]["max_completion_tokens"] >= 20
    assert not {"max_tokens", "temperature"} & set(endpoint.asked[-1])


def test_a_model_that_takes_what_is_usual_gets_it() -> None:
    with connected(echo) as (backend, endpoint):
        backend.complete(chats("a"), max_tokens=20)
    [body] = endpoint.asked
    assert (body["max_tokens"], body["temperature"]) == (20, 0.0)
    assert "max_completion_tokens" not in body


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ],
)
def test_an_endpoint_without_a_system_role_gets_its_text_before_the_users(words: str) -> None:
    def answer(body: Body) -> Reply:
        if body["messages"][0]["role"] == "system":
            return Reply(status=400, body={"error": {"message": words}})
        return chat_reply("[2] > [1]")

    with connected(answer) as (backend, endpoint):
        passages = [Passage(id=str(i), text="text") for i in range(2)]
        reranker = listwise_reranker(backend, template="rank_zephyr")
        assert reranker.rank(Query(id="1", text="q"), passages).order == (1, 0)
    [turn] = endpoint.asked[-1]["messages"]
    assert turn["role"] == "user"
    assert turn["content"].startswith("You are RankLLM")


def test_a_model_without_log_probabilities_is_refused_where_they_are_needed() -> None:
    with (
        connected(refusing(logprobs=UNSUPPORTED)) as (backend, _),
        pytest.raises(
            DataError, match=r"m gives no log-probabilities .*: use a method that writes"
        ),
    ):
        backend.label_logprobs(chats("q"), labels=("A", "B"), primer="")


def test_any_other_refusal_stays_one() -> None:
    words = "This model's maximum context length is 100 tokens"
    with connected(lambda body: Reply(status=400, body={"error": {"message": words}})) as (
        backend,
        endpoint,
    ):
        [found] = backend.complete(chats("q"), max_tokens=1)
    assert isinstance(found, BackendError)
    assert words in str(found)
    assert len(endpoint.asked) == 1
