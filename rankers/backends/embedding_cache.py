"""Embeddings kept in memory: a document met again, under any query, is not encoded again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rankers.prompting.budget import Budget
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import ChatEmbedder, Embedder, Role, RoleEmbedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(kw_only=True, slots=True)
class CachedEmbedder:
    """An embedder with a memory of ``max_bytes``; the texts used longest ago are forgotten first.

    Chats are not kept: a listwise prompt does not come twice. Not for several threads at a time.
    """

    embedder: ChatEmbedder
    max_bytes: int = 1 << 30
    """Of the vectors: 1 GiB holds 700 thousand of 384 dimensions."""
    hits: int = 0
    """Texts found in memory, and not found, since the start."""
    misses: int = 0
    _kept: OrderedDict[bytes, NDArray[np.float32]] = field(default_factory=OrderedDict)
    _bytes: int = 0

    @property
    def budget(self) -> Budget | None:
        """See ``ChatEmbedder.budget``."""
        return self.embedder.budget

    @property
    def kept_bytes(self) -> int:
        """Of the vectors in memory now."""
        return self._bytes

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See ``Embedder.embed``; texts that repeat within the batch are encoded once too."""
        return self._remembered(texts, "", self.embedder.embed)

    def embed_as(
        self, role: Role, texts: Sequence[str], *, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """See ``RoleEmbedder.embed_as``; a text is kept once for each role and prompt."""
        return self._remembered(
            texts,
            f"{role} {prompt!r} ",
            lambda new: embedded(self.embedder, role, new, prompt),
        )

    def _remembered(
        self,
        texts: Sequence[str],
        use: str,
        encode: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        import numpy as np

        keys = [hashlib.blake2b((use + text).encode(), digest_size=16).digest() for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        found = {key: self._kept[key] for key in wanted if key in self._kept}
        new = [key for key in wanted if key not in found]
        self.hits += len(found)
        self.misses += len(new)
        if new:
            vectors = encode([wanted[key] for key in new])
            found |= zip(new, vectors, strict=True)
        self._keep(found)
        return np.stack([found[key] for key in keys])

    def embed_chats(self, chats: Sequence[Sequence[ChatMessage]]) -> NDArray[np.float32]:
        """See ``ChatEmbedder.embed_chats``."""
        return self.embedder.embed_chats(chats)

    def _keep(self, used: dict[bytes, NDArray[np.float32]]) -> None:
        for key, vector in used.items():
            if key not in self._kept:
                # A copy: a row of a matrix would keep the whole matrix in memory.
                self._kept[key] = vector.copy()
                self._bytes += vector.nbytes
            self._kept.move_to_end(key)
        while self._bytes > self.max_bytes:
            _, forgotten = self._kept.popitem(last=False)
            self._bytes -= forgotten.nbytes


def embedded(
    embedder: Embedder, role: Role, texts: Sequence[str], prompt: str | None = None
) -> NDArray[np.float32]:
    """``texts`` as the model reads them in that role; ``prompt`` in place of its own, if given."""
    if isinstance(embedder, RoleEmbedder):
        return embedder.embed_as(role, texts, prompt=prompt)
    return embedder.embed([(prompt or "") + text for text in texts])


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1; a row of zeros stays, and has the cosine 0 with everything."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.where(norms == 0, 1, norms)
    return scaled
