"""The vLLM backend: the same answers and log-probabilities as transformers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rankers.backends.hf import HfBackend
from rankers.backends.vllm import VllmBackend
from rankers.errors import BackendError, DataError, EngineError
from rankers.prompting.templates import ChatMessage
from tests.rankers.backends.models import tiny_t5_dir

pytestmark = pytest.mark.vllm

TEXTS = ("sort a list", "dog", "the quick brown fox jumps over", "dog")


def chats(*texts: str) -> list[list[ChatMessage]]:
    return [[{"role": "user", "content": text}] for text in texts]


@pytest.fixture(scope="module")
def backend(tiny_model: Path) -> Iterator[VllmBackend]:
    backend = VllmBackend(tiny_model, kv_cache_mb=64, max_length=256)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> HfBackend:
    return HfBackend(tiny_model, max_length=256)


def test_answers_are_those_of_transformers(backend: VllmBackend, reference: HfBackend) -> None:
    want = reference.complete(chats(*TEXTS), max_tokens=12)
    assert backend.complete(chats(*TEXTS), max_tokens=12) == want


@pytest.mark.parametrize("primer", ["[", ""])
def test_label_logprobs_are_those_of_transformers(
    backend: VllmBackend, reference: HfBackend, primer: str
) -> None:
    labels = ("A", "B", "C", "z")
    asked = [
        engine.label_logprobs(chats(*TEXTS), labels=labels, primer=primer)
        for engine in (backend, reference)
    ]
    for found, want in zip(*asked, strict=True):
        assert not isinstance(found, BackendError)
        assert not isinstance(want, BackendError)
        assert found.logprobs == pytest.approx(want.logprobs, abs=1e-4)
        assert found.prompt_tokens == want.prompt_tokens


def test_likelihoods_are_those_of_transformers(backend: VllmBackend, reference: HfBackend) -> None:
    answers = ["list", "a lazy dog", "x", "query: sort"]
    asked = [engine.likelihoods(chats(*TEXTS), answers=answers) for engine in (backend, reference)]
    for found, want in zip(*asked, strict=True):
        assert not isinstance(found, BackendError)
        assert not isinstance(want, BackendError)
        assert found.logprobs_T == pytest.approx(want.logprobs_T, abs=1e-4)


def test_one_prompt_that_does_not_fit_leaves_the_others_alone(backend: VllmBackend) -> None:
    first, long, last = backend.complete(chats("dog", "dog " * 300, "fox"), max_tokens=4)
    assert isinstance(long, BackendError)
    assert [first, last] == backend.complete(chats("dog", "fox"), max_tokens=4)


def test_bad_requests_are_refused(backend: VllmBackend, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"label '12' after '\[' is not one token"):
        backend.label_logprobs(chats("sort"), labels=["12"], primer="[")
    with pytest.raises(EngineError, match="an encoder-decoder: use HfBackend"):
        VllmBackend(tiny_t5_dir(tmp_path))


def test_an_adapter_changes_every_answer_as_peft_does(
    tiny_model: Path, tmp_path: Path, reference: HfBackend
) -> None:
    from tests.rankers.backends.models import random_adapter_dir

    adapter = random_adapter_dir(tiny_model, tmp_path)
    want = HfBackend(tiny_model, adapter=adapter).label_logprobs(
        chats(*TEXTS), labels=("A", "B"), primer=""
    )
    backend = VllmBackend(tiny_model, adapter=adapter, kv_cache_mb=64, max_length=256)
    found = backend.label_logprobs(chats(*TEXTS), labels=("A", "B"), primer="")
    backend.close()
    base = reference.label_logprobs(chats(*TEXTS), labels=("A", "B"), primer="")
    for got, merged, plain in zip(found, want, base, strict=True):
        assert got.logprobs == pytest.approx(merged.logprobs, abs=1e-3)  # type: ignore[union-attr]
        assert got.logprobs != pytest.approx(plain.logprobs, abs=1e-2)  # type: ignore[union-attr]
