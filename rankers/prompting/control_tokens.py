"""What one model's tokenizer and chat template read as control, broken in the texts of a prompt.

``rankers.prompting.sanitize`` breaks what is known of all families before a text enters a prompt.
This is for the served model's own: its added tokens, and the words that mark the turns of a
template without any (``USER:``, ``### Instruction:``).
"""

import re
from collections.abc import Iterable
from typing import Any

from rankers.prompting.sanitize import edited, neutralise_fields, seen

SHORTEST = 3
"""Characters of a literal at least; shorter ones are punctuation."""

_ENCLOSED = re.compile(r"[^\w\s].*\w.*[^\w\s]", re.DOTALL)
_TOKENS = re.compile(r"<\|[^|]*\|>|<[^<>\s]*>|\[[^\[\]\s]*\]")
_MARKER = re.compile(r"(?:#{1,6} ?)?\w[\w ]{0,32}[:\uff1a]|#{1,6} ?\w[\w ]{0,32}")


class Controls:
    """Breaks literals, however they are written: by a space, a colon at the end by a semicolon.

    Tokenizers find a token anywhere; ``markers`` are only found where no word goes on into them.

    Literals that ``neutralise_fields`` breaks are left out: no text of a user holds them any more,
    so that where they stand they are the prompt's own words.
    """

    def __init__(self, tokens: Iterable[str], markers: Iterable[str] = ()) -> None:
        self._by_first: dict[str, tuple[str, ...]] = {}
        anywhere = list(tokens)
        self._anywhere = {_folded(token.strip())[0] for token in anywhere}
        for literal in (*anywhere, *markers):
            literal = literal.strip()
            if len(literal) >= SHORTEST and neutralise_fields(literal) == literal:
                folded = _folded(literal)[0]
                known = self._by_first.get(folded[0], ())
                self._by_first[folded[0]] = tuple(dict.fromkeys((*known, folded)))
        firsts = "".join(map(re.escape, self._by_first))
        self._first = re.compile(f"[{firsts}]") if firsts else None

    def broken(self, text: str) -> str:
        """``text`` without any of the literals; in linear time, and idempotent."""
        if self._first is None:
            return text
        folded, places = _folded(text)
        edits: dict[int, str] = {}
        for match in self._first.finditer(folded):
            start = match.start()
            for literal in self._by_first[match[0]]:
                if folded.startswith(literal, start) and (
                    literal in self._anywhere or not _within_word(folded, start)
                ):
                    last = places[start + len(literal) - 1]
                    if literal[-1] == ":":
                        edits[last] = ";"
                    else:
                        edits.setdefault(places[start], text[places[start]] + " ")
        return edited(text, edits)


def added_tokens(tokenizer: Any) -> list[str]:
    """The special tokens of a tokenizer, and those of its added ones that look like control."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    found = [
        token.content for token in added if token.special or _ENCLOSED.fullmatch(token.content)
    ]
    return list(dict.fromkeys([*found, *getattr(tokenizer, "all_special_tokens", ())]))


def turn_markers(between: Iterable[str]) -> list[str]:
    """Words that mark turns in what a template writes between the texts of a conversation."""
    markers = []
    for piece in between:
        for line in _TOKENS.sub("\n", piece).splitlines():
            words = line.split()
            marker = " ".join(words)
            if len(marker) > 40 and words:  # a system prompt of the template's own
                marker = words[-1]
            if _MARKER.fullmatch(marker):
                markers.append(marker)
    return list(dict.fromkeys(markers))


def _within_word(text: str, start: int) -> bool:
    return start > 0 and text[start - 1].isalnum() and text[start].isalnum()


def _folded(text: str) -> tuple[str, Any]:
    folded, places = seen(text)
    lower = folded.lower()
    if len(lower) != len(folded):  # some capitals are two small characters
        lower = "".join(character.lower()[0] for character in folded)
    return lower, places
