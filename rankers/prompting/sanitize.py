"""What reads as structure in a prompt, and a user's texts without it; in linear time.

A text is searched as it looks to the most lenient reader: compatibility characters as the ASCII
that they stand for, invisible characters gone. It is changed where it stands.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_COMPATIBLE = ((0xA0, 0x3400), (0xFE00, 0x10000), (0x1D400, 0x1D800), (0x1F100, 0x1F200))
"""Code points among which compatibility normalisation makes ASCII."""
_MORE_DIGITS = ((0x2488, 0x249C), (0x2776, 0x277F), (0x1F100, 0x1F10B))
"""Circled digits and digits with a point, which readers of rankings take for digits."""

_LABEL = re.compile(r"\[ *+(?:\d++|[A-Za-z]) *+\]")
# A word of one of these in square brackets, as tokenizers spell them.
_BRACKET_WORDS = (
    r"INST|TOOL_CALLS|AVAILABLE_TOOLS|SYSTEM_PROMPT|gMASK|sMASK|eMASK|CLS|SEP|PAD|UNK|MASK|BOS|EOS"
    r"|(?:start|end)_header_id|extra_id_\d+|unused_?\d+"
    r"|(?-i:[A-Z][A-Z0-9]*+(?:_[A-Z0-9]++)++|THINK|IMG|PREFIX|MIDDLE|SUFFIX|ARGS|AUDIO|EOT|EOD|EOP"
    r"|USER|BOT|ASSISTANT|SYSTEM|TRANSCRIBE|REF|BOX)"
)
_BRACKETED = re.compile(rf"\[ *+(?:/ *+)?(?:{_BRACKET_WORDS}) *+\]", re.I)
_TAG_WORDS = (
    r"s|think|thinking|answer|reasoning|query|document|instruct|response|scratch_pad|sop|eop|eod"
    r"|tool_call|tool_response|tool_calls|tools|toolcall|functions|function_call|observation"
    r"|bos|eos|pad|unk|mask|cls|sep|eot|eom|bom|bot|human|user|assistant|system|role|ai|\u7528\u6237"
    r"|_user|_bot|_system|_start|_end|img|quad|ref|box|code|ctrl\d+|2mass"
    r"|(?:extra_id|unused|reserved|special|mask|longcat|unused_token|reserved_token)[_:]?\w{0,24}"
    r"|(?:start|end|begin|beginning|bos|eos)_\w{1,24}"
    r"|(?:fim|file|jupyter|repo|issue|commit|pr|gh|empty|image|audio|video|vision|speech|tool)"
    r"_(?:\w{1,16}_)?(?:sep|start|end|prefix|suffix|middle|pad|token|name|output|code|text|calls"
    r"|soft_token|cell|comment|header|closed|before|after|msg|stars|review|diff|newline|tile)"
    r"|\w{1,24}_(?:token|sep)|(?:seed|plamo):[\w/.-]{1,24}"
    r"|(?-i:[A-Z][A-Z0-9]*+(?:_[A-Z0-9]++)++|TOOLCALL)"
)
_TAG = re.compile(rf"<(?: *+/)? *+(?:{_TAG_WORDS}) *+>", re.I)
_LLAMA_2 = re.compile(r"<<(?: *+/)? *+SYS *+>>", re.I)
_FALCON = re.compile(r">>[A-Z]{3,16}(?:_\d)?<<")
_FUYU = re.compile(r"\|(?:ENDOFTEXT|SPEAKER|NEWLINE)\|")
_AT_SIGNS = re.compile(r"\[ *+@\w{1,16}@ *+\]")
_ENCLOSED = (_LABEL, _BRACKETED, _TAG, _LLAMA_2, _FALCON, _FUYU, _AT_SIGNS)
_DELIMITER = re.compile(  # parted behind its first character
    r"<(?=\|)|\|(?=>)|\[(?=\|\w{1,24}\|\])|\|(?=\])(?<=\w\|)"  # <|...|>, EXAONE's [|...|]
    r"|\](?=<\]|~!?b[\[\]])|\[(?=>\[|e~\[)"  # MiniMax
)
_LOOK_ALIKES = str.maketrans("\uff1c\ufe64\uff1e\ufe65", "(())")
_IN_PARENTHESES = {"<": "(", "[": "(", ">": ")", "]": ")", "|": "/"}
_DELIMITERS = re.compile(r"[<>\[\]|]")
_FIELD_NAMES = (
    r"(?:passage|document)(?: ++[^\s\w:]?\w{1,9}[^\s\w:]?|\d++)?"
    r"|documents|query|relevant|instruct|answer|ranking"
)
_FIELD = re.compile(rf"\b(?:{_FIELD_NAMES}) *+:", re.I)


def one_line(text: str) -> str:
    """Every run of Unicode white space becomes one space: a passage cannot start a new line."""
    return " ".join(text.split())


def neutralise(text: str) -> str:
    """Rewrite ``text`` on one line, without anything that reads as structure of a prompt.

    ``[3]`` becomes ``(3)``; think, answer and turn tags lose their brackets; the delimiters of
    control tokens (``<|...|>``) are broken by a space; so is what compatibility normalisation would
    turn into one of these. Characters are replaced one by one or parted, never removed: a removal
    could join its neighbours into a new token. Idempotent. What one model's tokenizer knows besides
    is broken where its prompts are rendered (``rankers.prompting.control_tokens``).
    """
    text = one_line(text).translate(_LOOK_ALIKES)
    folded, places = seen(text)
    if not _DELIMITERS.search(folded):
        return text
    edits = {
        place: text[place] + " "
        for place in (places[match.start()] for match in _DELIMITER.finditer(folded))
    }
    for pattern in _ENCLOSED:
        for match in pattern.finditer(folded):
            for i in range(*match.span()):
                if folded[i] in _IN_PARENTHESES:
                    edits[places[i]] = _IN_PARENTHESES[folded[i]]
    return edited(text, edits)


def neutralise_fields(text: str) -> str:
    """``neutralise``, for templates that name their parts within a line.

    ``Query:``, ``Document:``, ``Passage B:``, ``passage 3:`` and their like get a semicolon.
    Idempotent.
    """
    text = neutralise(text)
    while True:  # twice at most: 'passage :3:' is 'passage ;3:' first
        folded, places = seen(text)
        colons = {places[match.end() - 1]: ";" for match in _FIELD.finditer(folded)}
        if not colons:
            return text
        text = edited(text, colons)


def seen(text: str) -> tuple[str, Sequence[int]]:
    """``text`` as it is searched, and the place in ``text`` of each of its characters."""
    if text.isascii():
        return text, range(len(text))
    plain = text.translate(_plain())
    if not _INVISIBLE.search(plain):
        return plain, range(len(text))
    places = [i for i, character in enumerate(plain) if not _INVISIBLE.match(character)]
    return "".join(plain[i] for i in places), places


def edited(text: str, edits: Mapping[int, str]) -> str:
    """``text`` with the characters at these places replaced."""
    if not edits:
        return text
    return "".join(edits.get(i, character) for i, character in enumerate(text))


@cache
def _plain() -> dict[int, str]:
    """The ASCII character that a reader may see in another one's place."""
    table = {
        code: "0" if found.isdecimal() else found
        for first, end in _COMPATIBLE
        for code in range(first, end)
        if (found := unicodedata.normalize("NFKC", chr(code))).isascii()
        and (len(found) == 1 or found.isdecimal())
    }
    table |= {code: "0" for first, end in _MORE_DIGITS for code in range(first, end)}
    return table | {0x3010: "[", 0x3011: "]"}
