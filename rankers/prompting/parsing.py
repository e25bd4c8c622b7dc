"""A listwise answer -> a permutation: always one, and always saying how it was read."""

import re
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from rankers.prompting.chains import COUNT, Chain, Labels, best_chain, is_strict

Rule = Literal["strict", "loose", "none"]
Malformed = Literal["ok", "wrong_format", "repetition", "missing"]
A_co = TypeVar("A_co", covariant=True)

_THOUGHT = r"(?:seed:)?(?:think|thinking|thought|reasoning)"
_OPENED = re.compile(rf"<{_THOUGHT}>|\[THINK\]", re.IGNORECASE)
_CLOSED = re.compile(rf"</{_THOUGHT}>|\[/THINK\]", re.IGNORECASE)
_BLOCK = re.compile(r"<answer>|</answer>", re.IGNORECASE)

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
class ParsedAnswer(Generic[A_co]):
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

    After the reasoning, and in the answer tags if there are any, the chain counts that lists most
    candidates: see ``rankers.prompting.chains.best_chain``. Rule ``strict`` is bracketed ids joined
    by ``>``; a lone one counts so only where it is the whole answer. Any other chain or list, and
    where there is none all that the answer names, is ``loose``; at last every run of digits,
    rank_llm's rule, but for how many passages there are. Reasoning that never closes holds no
    answer: rule ``none``.
    """
    answer = after_reasoning(text)
    if answer is None:
        return _parsed([], n, rule="none", whole=False)
    answer = answer.strip()
    chain = _best(answer, n, labels)
    if chain is not None:
        rule: Rule = "strict" if chain.strict else "loose"
        asked = text.rpartition("</think>")[2].strip()  # the format is that of the prompts alone
        return _parsed(list(chain.ids), n, rule=rule, whole=is_strict(asked, labels))
    ids = loose_ids(COUNT.sub(" ", answer), labels=labels)
    return _parsed(ids, n, rule="loose" if ids else "none", whole=False)


def after_reasoning(text: str) -> str | None:
    """What stands after the last closing think tag; None where reasoning is opened after it.

    The tags of reasoning models in any case: ``<think>``, ``<thinking>``, ``[THINK]`` and the like.
    """
    start = max((match.end() for match in _CLOSED.finditer(text)), default=0)
    return None if _OPENED.search(text, start) else text[start:]


def answer_tags(answer: str) -> str | None:
    """What stands in the last answer tags, be they closed or cut off; None where there are none."""
    opened = [match for match in _BLOCK.finditer(answer) if not match.group().startswith("</")]
    if not opened:
        return None
    start = opened[-1].end()
    closed = _BLOCK.search(answer, start)
    return answer[start : closed.start() if closed else len(answer)].strip()


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


def _best(answer: str, n: int, labels: Labels) -> Chain | None:
    block = answer_tags(answer)
    found = best_chain(block, n, labels) if block else None
    return found or best_chain(answer, n, labels)


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
