"""The one candidate that an answer decides for, in whatever words it says so."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

from rankers.prompting.chains import COUNT, NAMES, Labels, best_chain

_NAMES = rf"(?:{NAMES}|options?|choices?|labels?)"
_ADJECTIVE = (
    r"(?:relevant|likely|suitable|appropriate|helpful|useful|informative|related|pertinent)"
)
_MORE_THAN = rf"(?:more(?:\s+\w{{1,20}}){{0,2}}?\s+{_ADJECTIVE}|better)\b"
_LESS_THAN = rf"(?:less(?:\s+\w{{1,20}}){{0,2}}?\s+{_ADJECTIVE}|worse)\b"
_MOST = rf"(?:most(?:\s+\w{{1,20}}){{0,2}}?\s+{_ADJECTIVE}|best)\b"
_LEAST = rf"(?:least(?:\s+\w{{1,20}}){{0,2}}?\s+{_ADJECTIVE}|worst)\b"
_DECISION = (
    r"\b(?:answer|choice|output|verdict|conclusion|selection|result|winner|label"
    r"|(?:choos|select|pick|prefer|return)(?:e|es|ed|ing|red|s)?|chose|chosen|go(?:ing)? with)\b"
)
_EXCLUSION = r"(?<!d be )(?<!t be )(?<!is )\b(?:exclu|elimina|remov|discard|drop)\w{0,8}\b"

# What may stand between such words and the label: possessive where it repeats, for linear time.
_BETWEEN = (
    r"(?:[\s:=,'-]*+(?:\"[^\"\n]{0,200}\"|\b(?:is|are|was|be|would|will|must|should|seems|appears"
    r"|the|that|one|as|to|for|of|in|by|with|query|question|given|this|these|those|user|s|search"
    r"|among|from|all|both|two|labell?ed|final|my|clearly|definitely|therefore|thus|number|correct"
    rf"|right|overall|list|relevance|match|here|excluded|{_NAMES}|{_ADJECTIVE})\b))"
    r"{0,14}[\s:=\"'-]*+"
)
_IS = (
    r"\s+(?:is|was|seems|appears|would be|looks|should be|can be|must be)"
    r"(?:\s+(?:by far|clearly|definitely|also|thus|therefore|probably|likely|indeed|the|far|much"
    r"|significantly|slightly|considered|to be|be)\b)*+\s+"
)
_SUITS = (
    r"\s+(?:best|most directly|more directly|directly|better)"
    r"\s+(?:answer|match|address|fit)(?:e?s)?\b"
)

_OPENING = re.compile(
    r"\W*(?:none|neither|no (?:one|passage|document)|both|all|i(?:'m| am)? (?:sorry|can ?not|can't"
    r"|unable)|sorry|unfortunately)\b",
    re.IGNORECASE,
)
_EVEN = re.compile(r"\b(?:equally|tied?|same (?:relevance|degree|extent)|both)\b", re.IGNORECASE)
_DRESS = re.compile(r"\\(?:boxed|text(?:bf)?|math(?:rm|bf))\b|[*_`$\\{}]")


def verdict(answer: str, labels: Labels, *, worst: bool = False) -> int | None:
    """The label that ``answer`` decides for (letters count from 1), or None; in linear time.

    In this order: a label alone; "the answer is" and the like; a first or last line that is a label
    alone; "the most relevant", then "more relevant than"; a label that the answer begins with; the
    first of a chain; the only label mentioned. ``worst``: the question was for the least relevant
    one. Refusals and draws decide for none.
    """
    plain = unicodedata.normalize("NFKC", answer).replace("\u2019", "'")
    text = re.sub("[\u201c\u201d]", '"', _DRESS.sub(" ", plain)).strip()
    lines = [line for line in text.split("\n") if line.strip()]
    found = (found for found in _verdicts(text, lines, labels, worst) if found is not None)
    return next(found, None)


def _verdicts(text: str, lines: Sequence[str], labels: Labels, worst: bool) -> Iterator[int | None]:
    """What each rule says, the surest rule first."""
    label = _label(labels)
    if len(lines) == 1:
        yield _alone(text, labels)
    decision = f"(?:{_DECISION}|{_EXCLUSION})" if worst else _DECISION
    yield _last(text, rf"(?i:{decision}{_BETWEEN}){label}")
    for line in (*lines[:1], *lines[-1:]):
        yield _alone(line, labels)
    for pattern in _comparisons(label, worst):
        yield _last(text, pattern)
    if not _OPENING.match(text) and not _EVEN.search(text):
        yield from _implied(text, labels, worst)


def _comparisons(label: str, worst: bool) -> tuple[str, str]:
    """Superlatives, then comparatives."""
    most, more, less = (_MOST, _MORE_THAN, _LESS_THAN)
    if worst:
        most, more, less = (_LEAST, _LESS_THAN, _MORE_THAN)
    excluded = r"|excluded|eliminated|removed|discarded|dropped" if worst else ""
    return (
        rf"(?i:\b{most}{_BETWEEN}){label}|{label}(?i:{_IS}(?:{most}{excluded}))",
        rf"{label}(?i:{_IS}{more}(?!\s+written)" + ("" if worst else rf"|{_SUITS}") + ")"
        rf"|(?i:\b{less}\s+than\s+){label}|(?i:\b{more}{_BETWEEN}){label}",
    )


def _implied(text: str, labels: Labels, worst: bool) -> Iterator[int | None]:
    """A label at the head of the answer, the first of a chain, the only one there is."""
    label = _label(labels)
    if start := re.match(rf"\W*{label}(?:\s?[.)-]|,\s?[a-z]|\s+(?i:because|as|since|due)\b)", text):
        yield _value(start)
    heads = {_value(match) for match in re.finditer(rf"{label}\s?:", text)}
    if len(heads) == 1 and re.match(rf"\W*{label}\s?:", text):
        yield heads.pop()
    chain = None if worst else best_chain(text, 1 << 30, labels)
    if chain is not None and chain.joined:
        yield chain.ids[0]
    clear = _label(labels, bare=False, single=False)
    sign = rf"(?<![\w'])({_SIGN[labels]})(?![\w'])"
    further = rf"{sign}(?=\s?(?:and|or|,|/)\s)|\b(?:and|or|than|vs)\s{sign}"
    before = r"(?i:,|\bis|'s|\bbe|\b(?:definit|clear|obvious|probab|like)e?ly)"
    last = rf"{before}\s{{1,3}}{sign}(?=\W*\Z)"
    named = {_value(match) for match in re.finditer(rf"{clear}|{further}|{last}", text)}
    yield named.pop() if len(named) == 1 else None


def _alone(line: str, labels: Labels) -> int | None:
    sign = rf"({_SIGN[labels]})" if labels == "numbers" else r"([A-Wa-w])"
    name = rf"(?i:(?:{_NAMES}|answer)\s?(?:id|number|no\.)?\s?[:#=]?\s?)?"
    match = re.fullmatch(rf"[\s\"'>#-]*{name}[\[(\"' ]{{0,4}}{sign}[\s\"'.!:,;)\]]*", line)
    return _value(match) if match else None


def _last(text: str, pattern: str) -> int | None:
    found = None
    for match in re.finditer(pattern, text):
        found = _value(match)
    return found


def _value(match: re.Match[str]) -> int:
    sign = next(group for group in match.groups() if group)
    return int(sign) if sign.isdecimal() else ord(sign.upper()) - 64


_SIGN = {"numbers": r"[0-9]{1,9}", "letters": r"[A-W]"}
_WORDS_TOO = r"(?!\s+(?!(?:is|was|because|as|since|for|with|due|over|and|or)\b)[a-z])"
"""Not before another word: ``A passage`` and ``I cannot`` name nobody."""


@cache
def _label(labels: Labels, *, bare: bool = True, single: bool = True) -> str:
    """A pattern for a label with its name or brackets, or ``bare``; ``single``: no "A or B"."""
    sign = _SIGN[labels]
    if labels == "letters":
        named = rf"(?:[A-W]|[b-hj-w]|[ai]{_WORDS_TOO})(?![\w'])"
        alone = rf"(?<![\w'.-])((?:[B-HJ-W]|[AI]{_WORDS_TOO})(?![\w']|\.\w))"
        boxed = r"\[\s?([A-Wa-w])\s?\]|\(([A-W])\)"
    else:
        named = r"[0-9]{1,9}(?![\w%]|\.\d)"
        alone = rf"(?<![\w.-])(?!{COUNT.pattern})([0-9]{{1,9}})(?![\w%]|\.\d)"
        boxed = r"\[\s?([0-9]{1,9})\s?\]"
    name = rf"(?i:\b{_NAMES}[\s-]?(?:id|number|no\.|labell?ed)?\s?[:#=]?\s?)"
    forms = rf"{name}[\[(\"']{{0,2}}({named})[\])\"']{{0,2}}|{boxed}" + (
        rf"|{alone}" if bare else ""
    )
    verb = r"(?!\s+(?:is|was|does|only|has|provides|discusses|talks|mentions|focuses|covers)\b)"
    another = rf"(?:(?i:{_NAMES})\s?)?[\[(]?{sign}(?![\w']){verb}"
    several = rf"(?!\W{{0,3}}(?:or|and|vs\.?|versus|,)\s+{another})" if single else ""
    return rf"(?:{forms}){several}"
