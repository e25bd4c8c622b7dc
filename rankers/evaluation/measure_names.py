"""Measures by name: parsed, checked, and matched with the code that computes them here.

ir_measures parses more than it can compute, and finds out late: by an assertion, or by one of
trec_eval's that ends the process. So a name is only handed on with a provider that takes it.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from rankers.errors import DataError

if TYPE_CHECKING:
    from ir_measures import Measure
    from ir_measures.providers import Provider

MAX_GRADE = 100_000
"""trec_eval keeps a table with one row per grade, for every query."""
_MOST = 2**31 - 1  # an int of C
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "cutoff": (1, _MOST),
    "rel": (1, _MOST),
    "recall": (0, 1),
    "p": (0.01, 0.9999),
    "alpha": (0, 1),
    "beta": (0.01, 100),
    "T": (0.01, 1000),
    "min_rel": (0, MAX_GRADE),
    "max_rel": (1, MAX_GRADE),
}
_EXAMPLES: Mapping[str, float] = {"cutoff": 10, "recall": 0.5, "rel": 1, "max_rel": 3}
_KINDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "True or False"}
_BY_SUBTOPIC = "pyndeval"
_UNUSED = "ranx"  # nothing here needs it; it counts negative grades as negative gains
_COMMON = "nDCG@10, RR@10, AP, R@100"


class Computable(NamedTuple):
    """A measure and the provider of ir_measures that computes it."""

    measure: "Measure"
    provider: "Provider"


def computable(names: Iterable[str]) -> dict[str, Computable]:
    """The measures called ``names``. Raises DataError, naming every one that is not to be had."""
    found: dict[str, Computable] = {}
    faults = []
    for name in dict.fromkeys(names):
        try:
            found[name] = _computable(name)
        except DataError as fault:
            faults.append(str(fault))
    if faults:
        raise DataError("; ".join(faults))
    return found


def split_names(text: str) -> list[str]:
    """``"nDCG@10 AP(rel=2), R@5"`` as single names: blanks and commas separate outside brackets."""
    return re.findall(r"(?:[^\s,(]|\([^()]*\)?)+", text)


def _computable(name: str) -> Computable:
    import ir_measures

    measure = _checked(name, _parsed(name))
    takers = [p for p in ir_measures.DefaultPipeline.providers if _takes(p, measure)]
    for provider in takers:
        if provider.NAME == _BY_SUBTOPIC:
            raise DataError(
                f"measure {name!r} needs judgements by subtopic, which no collection here has: "
                f"try {_COMMON}"
            )
        if provider.is_available():
            return Computable(measure, provider)
    if takers:
        remedy = " ".join(str(takers[0].install_instructions()).split())
        raise DataError(f"measure {name!r} is computed by {takers[0].NAME}: {remedy}")
    raise DataError(f"measure {name!r} cannot be computed: {_lacking(measure)}")


def _takes(provider: "Provider", measure: "Measure") -> bool:
    return provider.NAME != _UNUSED and provider.supports(measure)


def _parsed(name: str) -> "Measure":
    import ir_measures

    try:
        return ir_measures.parse_measure(name)
    except (ValueError, NameError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        registry = ir_measures.measures.registry
        known = {known.casefold(): str(measure) for known, measure in registry.items()}
        word, _, rest = name.partition("@")
        close = difflib.get_close_matches(word.casefold(), known, n=1, cutoff=0.75)
        at = f"@{rest}" if rest else ""
        hint = f"did you mean {known[close[0]]}{at}?" if close else f"try {_COMMON}"
        raise DataError(f"unknown measure {name[:60]!r} ({error}): {hint}") from None


def _checked(name: str, measure: "Measure") -> "Measure":
    """The measure with values of the right type, each in its bounds."""
    given: dict[str, Any] = {}
    taken = measure.SUPPORTED_PARAMS
    for parameter, value in measure.params.items():
        if parameter not in taken:
            takes = ", ".join(taken) or "none"
            raise DataError(f"measure {name!r} has no parameter {parameter!r}: it takes {takes}")
        kind = taken[parameter].dtype
        given[parameter] = float(value) if kind is float and type(value) is int else value
        wrong = _wrong(parameter, given[parameter], kind)
        if wrong:
            raise DataError(f"measure {name!r}: {parameter} must be {wrong}, got {value!r}")
    measure = type(measure)(**given)
    lacking = [parameter for parameter, info in taken.items() if info.required]
    for parameter in lacking:
        if parameter not in given:
            raise DataError(f"measure {name!r} {_needs(measure, parameter)}")
    try:
        measure.validate_params()  # type: ignore[no-untyped-call]
    except AssertionError as error:
        raise DataError(f"measure {name!r}: {error}") from None
    return measure


def _wrong(parameter: str, value: object, kind: type) -> str:
    """What the value should be; empty where it is that."""
    if type(value) is not kind:
        return _KINDS.get(kind, f"a {kind.__name__}")
    if isinstance(value, dict):
        numbers = [*value, *value.values()]
        ok = all(type(number) is int and 0 <= number <= MAX_GRADE for number in numbers)
        return "" if ok else f"whole numbers from 0 to {MAX_GRADE} by grade"
    if parameter == "recall" and isinstance(value, float) and round(value, 2) != value:
        return "a number of two decimals"
    low, high = _BOUNDS.get(parameter, (float("-inf"), float("inf")))
    if isinstance(value, int | float) and not low <= value <= high:
        return f"from {low:g} to {high:.10g}"
    return ""


def _lacking(measure: "Measure") -> str:
    """Why no provider takes the measure."""
    import ir_measures
    from ir_measures.providers.base import NOT_PROVIDED

    for provider in ir_measures.DefaultPipeline.providers:
        for supported in provider.SUPPORTED_MEASURES:
            if supported.NAME != measure.NAME or provider.NAME == _UNUSED:
                continue
            for parameter, spec in supported.params.items():
                if not spec.validate(measure[parameter]):
                    if measure[parameter] is NOT_PROVIDED:
                        return f"it {_needs(measure, parameter)}"
                    return f"{parameter} must be {spec!r}, got {measure[parameter]!r}"
    return f"nothing here computes it, try {_COMMON}"


def _needs(measure: "Measure", parameter: str) -> str:
    return f"needs a {parameter}, such as {measure(**{parameter: _EXAMPLES[parameter]})}"
