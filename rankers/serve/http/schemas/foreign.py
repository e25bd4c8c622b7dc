"""Requests of other services' clients: a field without effect is taken and remarked upon.

Those services pass over fields that they do not know, and so their clients send what another one,
or a proxy on the way, understands.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pydantic import ConfigDict

from rankers.serve.http.schemas.base import RequestBody

MOST_REMARKS = 5
LONGEST_NAME = 80
"""Of a field named in a message: names come from the request too."""
CUT = "passages are cut to what the model reads, at the end, and max_tokens_per_doc cuts further"
PROMPT = "prompts are those that the model was trained on"
IDLE: Mapping[str, str] = {
    "add_special_tokens": PROMPT,
    "cache_salt": "nothing is kept of a query",
    "chat_template": PROMPT,
    "chat_template_kwargs": PROMPT,
    "instruction": PROMPT,
    "max_chunks_per_doc": "a document is one chunk",
    "mm_processor_kwargs": "only texts are read",
    "padding": "it changes no score here",
    "request_id": "send the header X-Request-ID",
    "return_text": "return_documents is the name of it in this API",
    "truncate": CUT,
    "truncate_prompt_tokens": CUT,
    "truncation": CUT,
    "truncation_direction": CUT,
    "truncation_side": CUT,
    "user": "users are not told apart",
}
"""Fields of vLLM, TEI, Jina, Cohere, Voyage and Infinity that do nothing here, and why."""
MET: Mapping[str, tuple[object, ...]] = {
    "add_special_tokens": (True,),
    "max_chunks_per_doc": (1,),
    "padding": ("do_not_pad",),
    "return_text": (False,),
    "truncate": (True, "END"),
    "truncate_prompt_tokens": (-1,),
    "truncation": (True,),
    "truncation_direction": ("right", "Right"),
    "truncation_side": ("right",),
}
"""What they may ask for and have anyway: no remark."""


class Foreign(RequestBody):
    """A request: fields that it does not have change nothing."""

    model_config = ConfigDict(extra="allow")

    def remarks(self) -> list[str]:
        """A sentence for each field that has no effect, of the first few."""
        given = {name: v for name, v in (self.model_extra or {}).items() if v is not None}
        idle = [name for name, value in given.items() if value not in MET.get(name, ())]
        told = [self._remark(name) for name in idle[:MOST_REMARKS]]
        more = len(idle) - MOST_REMARKS
        return [*told, f"and {more} more fields have no effect"] if more > 0 else told

    def _remark(self, name: str) -> str:
        shown = name[:LONGEST_NAME]
        if name in IDLE:
            return f"{shown}: has no effect: {IDLE[name]}"
        near = difflib.get_close_matches(shown, type(self).model_fields, n=1, cutoff=0.7)
        hint = f": did you mean {near[0]!r}?" if near else ""
        return f"{shown}: there is no such field, and it has no effect{hint}"
