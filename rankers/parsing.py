"""A listwise answer -> a permutation: always one, and always saying how it was read."""

import re
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Labels = Literal["numbers", "letters"]
Rule = Literal["strict", "loose", "none"]
Malformed = Literal["ok", "wrong_format", "repetition", "missing"]
A_co = TypeVar("A_co", covariant=True)

_ID = {"numbers": r"\[[0-9]{1,9}\]", "letters": r"\[[A-Z]\]"}
_CHAIN = {labels: re.compile(rf"{one}(?:\s*>\s*{one})*") for labels, one in _ID.items()}

# rank_llm's table: superscript, subscript, circled, negative circled, full-width, full-stop digits.
_FAKE_DIGITS = str.maketrans(
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
    "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089"
    "\u2460\u2461\u2462\u2463\u2464\u2465\u2466\u2467\u2468"
    "\u2776\u2777\u2778\u2779\u277a\u277b\u277c\u277d\u277e"
    "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19"
    "\U0001f100\U0001f101\U0001f102\U0001f103\U0001f104"
    "\U0001f105\U0001f106\U0001f107\U0001f108\U0001f109",
    "0123456789012345678912345678912345678901234567890012345678",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Generic[A_co]):
    """What an answer tells a method: any method's, in one form."""

    answer: A_co
    rule: Rule
    malformed: Malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What an answer says about n candidates."""

    order: tuple[int, ...]
    """A permutation of 0..n-1, best first: listed candidates, then the others in input order."""
    rule: Rule
    """Which rule found the ids; ``none`` leaves the input order."""
    malformed: Malformed
    """rank_llm's classes; ``ok`` iff the whole answer is one strict chain naming each id once."""
    listed: int
    """Distinct valid ids the answer names."""
    repeated: int
    """Mentions of an id already named."""
    out_of_range: int
    """Mentions of ids that no candidate has."""

    @property
    def well_formed(self) -> bool:
        """A complete permutation by the strict rule and, after the reasoning, nothing else."""
        return self.malformed == "ok"


def parse_permutation(text: str, n: int, *, labels: Labels = "numbers") -> Parsed:
    """Read the ranking of ``n`` candidates out of ``text``; never raises, whatever the text.

    Strict rule: the last maximal chain of bracketed ids joined by ``>`` after the last closing
    think tag; a lone id counts only where it is the whole answer. Else the loose rule, which is
    rank_llm's. Reasoning that never closes holds no answer: rule ``none``.
    """
    answer = text.rpartition("</think>")[2].strip()
    if "<think>" in answer:
        return _parsed([], n, rule="none", whole=False)
    chain = _last_chain(answer, labels)
    if chain is not None:
        ids = [_number(label, labels) for label in re.findall(r"\w+", chain, re.ASCII)]
        return _parsed(ids, n, rule="strict", whole=chain == answer)
    ids = loose_ids(answer, labels=labels)
    return _parsed(ids, n, rule="loose" if ids else "none", whole=False)


def loose_ids(text: str, *, labels: Labels = "numbers") -> list[int]:
    """All ids (1-based, unchecked) that rank_llm 1b3cabb reads: every maximal run of digits.

    Digits in prose before the ranking are taken too. In letters mode every letter is replaced by
    its distance from ``@`` and neighbours run together: ``I choose`` is 9 and 354047475137.
    """
    answer = text.rpartition("</think>")[2]
    if labels == "letters":
        mapped = "".join(str(ord(c) - 64) if c.isalpha() else " " for c in answer)
    else:
        mapped = answer.translate(_FAKE_DIGITS)
        mapped = "".join(c if c.isdigit() else " " for c in mapped)
    try:
        return [int(run) for run in mapped.split()]
    except ValueError:  # a digit that int() refuses, or thousands of them: upstream gives up too
        return []


def _last_chain(answer: str, labels: Labels) -> str | None:
    chains = [match.group() for match in _CHAIN[labels].finditer(answer)]
    joined = [chain for chain in chains if ">" in chain]
    if joined:
        return joined[-1]
    return answer if chains == [answer] else None


def _number(label: str, labels: Labels) -> int:
    return int(label) if labels == "numbers" else ord(label) - 64


def _parsed(ids: list[int], n: int, *, rule: Rule, whole: bool) -> Parsed:
    valid = [i - 1 for i in ids if 1 <= i <= n]
    listed = list(dict.fromkeys(valid))
    named = set(listed)
    repeated, out_of_range = len(valid) - len(listed), len(ids) - len(valid)
    malformed: Malformed = "ok"
    if rule != "strict" or not whole or out_of_range:
        malformed = "wrong_format"
    elif repeated:
        malformed = "repetition"
    elif len(listed) < n:
        malformed = "missing"
    return Parsed(
        order=(*listed, *(i for i in range(n) if i not in named)),
        rule=rule,
        malformed=malformed,
        listed=len(listed),
        repeated=repeated,
        out_of_range=out_of_range,
    )
