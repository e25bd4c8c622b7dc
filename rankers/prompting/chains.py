"""Rankings inside an answer: chains, lists and enumerations of ids, and which of them is meant."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

Labels = Literal["numbers", "letters"]
Kind = Literal["bracket", "word", "bare", "index"]

NAMES = r"(?:passages?|documents?|docs?|texts?|items?|candidates?|identifiers?|ids?)"
"""Words that come before an id."""
_OF = rf" (?:(?:given|other|relevant|best|top|remaining|provided|candidate|listed) )?{NAMES}\b"
COUNT = re.compile(rf"\b\d{{1,9}}{_OF}", re.IGNORECASE)
"""A number of passages, which is no id."""

_STRICT = {"numbers": r"\[[0-9]{1,9}\]", "letters": r"\[[A-Z]\]"}
_CHAIN = {labels: re.compile(rf"{one}(?:\s*>\s*{one})*") for labels, one in _STRICT.items()}

_TEN_UP = "\u2469-\u2473"  # circled 10 to 20
_ID = {"numbers": rf"(?:\d{{1,9}}|[{_TEN_UP}])", "letters": r"[A-Z]"}
_INSIDE = {labels: re.compile(rf"(?<![^\W\d_]){one}(?![^\W\d_])") for labels, one in _ID.items()}

# One to one, so that places in the text stay: other digits than rank_llm's table are \d anyway.
_ALIKE = str.maketrans(
    "\uff3b\u3010\u3014\u27e6\uff3d\u3011\u3015\u27e7\uff08\uff09"
    "\uff1e\ufe65\u227b\u227d\u2265\u2267\u2a7e\u2192\u21d2\u279c\u2794\u27f6\u27f9\u25b6\u00bb"
    "\u203a\u3009\u232a\uff0c\u3001\uff1b\uff1d\uff1a\uff0e",
    "[[[[]]]]()>>>>>>>>>>>>>>>>>>,,;=:.",
)
_LATEX = re.compile(r"\\(?:boxed|text(?:bf|tt)?|math(?:bf|rm)|left|right|bigl?|bigr)\b")

_DECORATION = r"\s*_`\"'\u2018\u2019\u201c\u201d$#{}\\"
_SIGNS = rf"(?:[{_DECORATION}>=,;~&]|\.{{2,}}+|\u2026|-++(?=>))*+"  # possessive: in linear time
_ABOVE = (
    r"(?:(?:is )?(?:better|more relevant) than|over|gt|geq?|succ(?:eq)?|(?:long)?rightarrow"
    r"|(?<=\\)to)\b"
)
_WORDS = rf"(?:{_ABOVE}|(?:and|then|finally|lastly|followed by)\b)"
_GAP = re.compile(rf"{_SIGNS}(?:{_WORDS}{_SIGNS}){{0,2}}", re.IGNORECASE)
_MORE = re.compile(rf">|\b{_ABOVE}", re.IGNORECASE)
_LONGEST_GAP = 40

_DENIED_BEFORE = re.compile(
    r"(?:\bnot|n't|\binstead of|\brather than|\b(?:input|initial|original|given) order(?: is)?)"
    r"[\s:(\"'*`]*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"\W{0,4}(?:is|was|are|would be)(?: not\b|n't\b|(?: \w+ly)?(?: the)?"
    r" (?:false|wrong|incorrect|input|initial|original|given)\b)",
    re.IGNORECASE,
)

_ORDINAL = (
    r"(?:rank(?:ing)?|position|place|number|first|second|third|fourth|fifth|next|finally|last|top"
    r"|best|(?:most|least)\s+relevant)"
)
_NUMBERING = r"\d{1,3}(?:st|nd|rd|th)?(?: place)?(?:\s?[.):|]|\s[-\u2013\u2014]|\t(?=\S))"


class Mention(NamedTuple):
    """One place of an answer that names candidates: one id, or several in one pair of brackets."""

    start: int
    end: int
    ids: tuple[int, ...]
    """From 1, unchecked."""
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Ids that an answer lists together, in that order."""

    ids: tuple[int, ...]
    start: int
    strict: bool = False
    """Bracketed ids joined by ``>`` and nothing else."""
    joined: bool = False
    """By ``>`` or what means the same, at least once."""
    alone: bool = False
    """No other words on its lines, but a heading before a colon."""
    denied: bool = False
    """The words around it say that it is not the ranking."""

    def named(self, n: int) -> int:
        """Distinct candidates among ``n`` that it lists."""
        return len({i for i in self.ids if 1 <= i <= n})

    def weight(self, n: int) -> float:
        """Candidates listed; half of them where it is denied or but an enumeration of the input."""
        aside = not self.joined and list(self.ids) == sorted(self.ids)
        return self.named(n) / 2 if aside or self.denied else self.named(n)


def is_strict(answer: str, labels: Labels) -> bool:
    """Whether the whole answer is one chain of bracketed ids joined by ``>``."""
    return _CHAIN[labels].fullmatch(answer) is not None


def strict_chains(answer: str, labels: Labels) -> list[Chain]:
    """Maximal chains of bracketed ids joined by ``>``; a lone id only if it is the whole answer."""
    found = []
    for match in _CHAIN[labels].finditer(answer):
        chain = match.group()
        if ">" in chain or chain == answer:
            ids = tuple(_value(one) for one in re.findall(r"\w+", chain, re.ASCII))
            joined = ">" in chain
            found.append(_chain(answer, *match.span(), ids=ids, joined=joined, strict=True))
    return found


def best_chain(answer: str, n: int, labels: Labels) -> Chain | None:
    """The ranking that ``answer`` means: the chain that lists most of ``n`` candidates.

    Of equal ones a chain joined by ``>`` counts more than an enumeration, one on lines of its own
    more than one inside a sentence, and a later one more than an earlier one. An answer that names
    all candidates just once is one chain, whatever stands between them.
    """
    text = _plain(answer)
    mentions = list(_mentions(text, labels))
    chains = [
        *strict_chains(answer, labels),
        *_joined(text, mentions, labels),
        *_listed(text, labels),
        *_all_once(mentions, n),
    ]
    best = max(
        chains,
        key=lambda c: (c.weight(n), c.joined, c.alone, c.start, c.strict),
        default=None,
    )
    if best is None or best.named(n) < 2:
        named = _named_at_all(mentions)
        enough = best.named(n) + best.strict if best else 0
        return named if named and named.named(n) >= enough else best
    return best


def _plain(answer: str) -> str:
    """``answer`` with look-alikes in ASCII, LaTeX's commands blank, character for character."""
    text = "".join(_digit(c) if c.isdigit() else c for c in answer).translate(_ALIKE)
    return _LATEX.sub(lambda command: " " * len(command.group()), text)


def _digit(character: str) -> str:
    return str(unicodedata.digit(character))


def _value(label: str) -> int:
    if len(label) == 1 and "A" <= label <= "Z":
        return ord(label) - 64
    return int(label) if label.isdecimal() else int(unicodedata.numeric(label))


@cache
def _mention(labels: Labels) -> re.Pattern[str]:
    one = _ID[labels]
    return re.compile(
        rf"(?m:^[^\w\n\[(]*(?P<index>{_NUMBERING})(?=\s|[\[(*\"']|$|(?<=\t)))"
        rf"|\[(?P<bracket>[^\[\]{{}}:\n]*)\]"
        rf"|(?i:\b(?:{NAMES}|[pd](?=\d))(?:[_ -]?id)?[\"']?[ _#:.-]{{0,3}}[\"']?)"
        rf"[\[(]?(?P<word>{one})\b[\])]?"
        rf"|\((?P<round>{one})\)"
        rf"|(?<![\w.'])(?P<bare>{one})(?![\w%']|\.\d|(?i:{_OF}))"
    )


def _mentions(text: str, labels: Labels) -> Iterator[Mention]:
    for match in _mention(labels).finditer(text):
        if match["index"]:
            yield Mention(match.start(), match.end(), (), "index")
        elif match["bracket"] is not None:
            ids = tuple(_value(found) for found in _INSIDE[labels].findall(match["bracket"]))
            if ids:
                yield Mention(match.start(), match.end(), ids, "bracket")
        else:
            kind: Kind = "word" if match["word"] else "bare"
            label = match["word"] or match["round"] or match["bare"]
            yield Mention(match.start(), match.end(), (_value(label),), kind)


def _joined(text: str, mentions: Sequence[Mention], labels: Labels) -> Iterator[Chain]:
    """Runs of mentions with nothing but separators between them."""
    run: list[Mention] = []
    seen: set[int] = set()
    for mention in mentions:
        again = not seen.isdisjoint(mention.ids)
        if run and not _follows(text, run[-1], mention, labels, again):
            yield from _run(text, run)
            run, seen = [], set()
        if mention.kind != "index":
            run.append(mention)
            seen.update(mention.ids)
    yield from _run(text, run)


def _follows(text: str, one: Mention, other: Mention, labels: Labels, again: bool) -> bool:
    """``again``: ``other`` names somebody that the run has: another line then starts another."""
    gap = text[one.end : min(other.start, one.end + _LONGEST_GAP + 1)]
    if other.kind == "index" or len(gap) > _LONGEST_GAP or not _GAP.fullmatch(gap):
        return False
    if re.search(r"\n\s*\n", gap) or (again and "\n" in gap):
        return False
    # Blanks alone join brackets or numbers, but not the two, nor letters: those may be words.
    bare = "bare" in (one.kind, other.kind)
    return bool(gap.strip()) or (one.kind == other.kind and not (bare and labels == "letters"))


def _run(text: str, run: Sequence[Mention]) -> Iterator[Chain]:
    ids = tuple(i for mention in run for i in mention.ids)
    if len(ids) > 1:
        start, end = run[0].start, run[-1].end
        yield _chain(text, start, end, ids=ids, joined=bool(_MORE.search(text, start, end)))


def _chain(
    text: str, start: int, end: int, *, ids: tuple[int, ...], joined: bool, strict: bool = False
) -> Chain:
    """The chain at a place of ``text``, with what the words around it on its lines say."""
    before = text[max(0, start - _LONGEST_GAP) : start].rpartition("\n")[2]
    after = text[end : end + _LONGEST_GAP].partition("\n")[0]
    heading = before.rstrip(" *_`\"'$[{(\\").endswith(":")
    return Chain(
        ids=ids,
        start=start,
        strict=strict,
        joined=joined,
        alone=(heading or not re.search(r"\w", before)) and not re.search(r"\w", after),
        denied=bool(_DENIED_BEFORE.search(before) or _DENIED_AFTER.match(after)),
    )


def _all_once(mentions: Sequence[Mention], n: int) -> Iterator[Chain]:
    """The whole answer, where it names each candidate once: by brackets, by words, or at all."""
    for kinds in ({"bracket"}, {"word"}, {"bracket", "word"}, {"bracket", "word", "bare"}):
        used = [mention for mention in mentions if mention.kind in kinds]
        ids = [i for mention in used for i in mention.ids if 1 <= i <= n]
        if len(ids) == n > 1 and len(set(ids)) == n:
            yield Chain(ids=tuple(ids), start=used[0].start)


def _named_at_all(mentions: Sequence[Mention]) -> Chain | None:
    """All that the answer names, in order, by the clearest way in which it names anything."""
    for kind in ("bracket", "word"):
        used = [mention for mention in mentions if mention.kind == kind]
        if used:
            return Chain(ids=tuple(i for m in used for i in m.ids), start=used[0].start)
    return None


@cache
def _line(labels: Labels) -> re.Pattern[str]:
    one = _ID[labels]
    return re.compile(
        rf"^[^\w\n\[(]*(?:(?i:{_ORDINAL})\b[^\w\n\[(]*)?(?:(?P<index>{_NUMBERING})[^\w\n\[(]*)?"
        rf"(?P<outer>[\[(] ?)?(?P<name>(?i:{NAMES})[ _#:.-]{{0,3}})?(?P<open>[\[(] ?)?(?P<id>{one})"
        rf"(?(open) ?[\])])(?(outer) ?[\])]"
        rf"|(?(open)|(?(name)\b|(?=[*_`\"']*\s*(?:$|[.):|(\-\u2013\u2014])))))"
        rf"(?![*_`\"']*\s*[>=,;]+\s*[\[(*]*{one}\b|\.\d)",
        re.MULTILINE,
    )


def _listed(text: str, labels: Labels) -> Iterator[Chain]:
    """Lists of one candidate a line, numbered or not, with anything behind it.

    Numbers of the lines are ids only where no line has another one. A list ends where a candidate
    comes again or the numbers start anew.
    """
    block: list[tuple[int, bool]] = []
    start = 0
    for match in _line(labels).finditer(text):
        index, found = match["index"], _value(match["id"])
        first = index is not None and index.startswith("1") and not index[1:2].isdigit()
        if block and (first or found in (i for i, _ in block)):
            yield from _list(block, start)
            block = []
        if not block:
            start = match.start()
        plain = not (match["outer"] or match["open"] or match["name"])
        numbered = plain and index is None and text.startswith((".", ")", ":"), match.end())
        block.append((found, numbered))
    yield from _list(block, start)


def _list(block: Sequence[tuple[int, bool]], start: int) -> Iterator[Chain]:
    ids = [i for i, numbered in block if not numbered] or [i for i, _ in block]
    if len(ids) > 1:
        yield Chain(ids=tuple(ids), start=start)
