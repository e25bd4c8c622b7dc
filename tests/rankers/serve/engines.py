"""What an engine process in a test loads: readers of ``worth 17``, slow or broken when told."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankers.backends.embedding_cache import CachedEmbedder
from rankers.backends.load import LoadedBackend, ModelSpec
from rankers.errors import BackendError, DataError
from rankers.methods import bi_encoder_reranker
from rankers.methods.by_name import Built, RerankerSpec
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import LabelScores
from rankers.reranker.reranker import Reranker
from tests.rankers.reader import METHODS, Reader


@dataclass(kw_only=True)
class Moody(Reader):
    """Takes its time; a text that says NaN gets that, one that says crash breaks the whole call."""

    delay_s: float = 0.0

    def label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores | BackendError]:
        time.sleep(self.delay_s)
        texts = [chat[-1]["content"] for chat in chats]
        if any("hang" in text for text in texts):
            threading.Event().wait()
        if any("crash" in text for text in texts):
            raise RuntimeError(f"out of memory: {texts[0]}")
        nan = LabelScores(logprobs=(float("nan"),) * len(labels), prompt_tokens=1)
        return [
            nan
            if "NaN" in text
            else super(Moody, self).label_logprobs([chat], labels=labels, primer=primer)[0]
            for chat, text in zip(chats, texts, strict=True)
        ]


@dataclass(kw_only=True)
class Lengths:
    """Embeds a text as 256 numbers that its length and its last number give."""

    budget: None = None
    delay_s: float = 0.0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        time.sleep(self.delay_s)
        rows = [[len(text), *[int(text.split()[-1])] * 255] for text in texts]
        return np.array(rows, dtype=np.float32)

    def embed_chats(self, chats: Sequence[Sequence[ChatMessage]]) -> NDArray[np.float32]:
        raise NotImplementedError


def spec(method: str, *, delay_s: float = 0.0, adapter: Path | None = None) -> RerankerSpec:
    name = "reader" if adapter is None else str(adapter)
    model = ModelSpec(name=name, base=Path("reader"))
    return RerankerSpec(method=method, model=model, options={"delay_s": delay_s})


def build(spec: RerankerSpec, loaded: LoadedBackend | None) -> Built:
    if spec.model.adapter is not None and (spec.model.adapter / "broken").exists():
        raise DataError("its weights do not fit")
    backend: CachedEmbedder | Moody
    reranker: Reranker
    delay_s = spec.options["delay_s"]
    assert isinstance(delay_s, float)
    if spec.method == "bi-encoder":
        backend = CachedEmbedder(embedder=Lengths(delay_s=delay_s))
        reranker = bi_encoder_reranker(backend)
    else:
        backend = Moody(delay_s=delay_s)
        reranker = METHODS[spec.method](backend)
    return Built(
        reranker=reranker,
        backend="hf",
        template="plain",
        passage_tokens=None,
        engine=LoadedBackend(backend, None),
    )
