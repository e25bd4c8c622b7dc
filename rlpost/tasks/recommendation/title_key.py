"""A title's spelling without what people leave out or add: case, accents, spaces, punctuation.

What makes another word stays: signs that belong to a name ("C++", "C#", "100%"), fractions and
decimals ("8\u00bd" is not "812"), and the marks of scripts in which a mark is a letter (vowel signs
of Hindi, the voicing of Japanese kana, the breve of Cyrillic).
"""

import re
import unicodedata

FRACTION = "\u2044"
RAISED = "^"
DECIMAL = "."
TYPOGRAPHIC = "~|<>\u2212\u00a9\u00ae\u2117\u2122\u2120"
"""Symbols by Unicode's classes that are set as dashes, brackets or ornaments."""
MEANT = f"#%@{FRACTION}{RAISED}{DECIMAL}"
"""Punctuation by Unicode's classes that is part of a name."""
POWER = re.compile(r"(?<=\d)(?=[\u00b2\u00b3\u00b9\u2070-\u2079])")
"""Between a number and its exponent: "10\u00b2" is not "102", but "Alien\u00b3" is "Alien 3"."""
SPELLINGS = (
    (re.compile(r"#(?=\s*\d)"), ""),  # "#1" is a number like any other
    (re.compile(r"\s*(?:&|(?<=\w)\s*\+\s*(?=\w))\s*"), " and "),
    (re.compile(rf"(?<!\d)(\d)\s*[/{FRACTION}]\s*(\d)(?!\d)"), rf"\1{FRACTION}\2"),
    (re.compile(r"\.(?!(?<=\d\.)\d(?!\d))"), " "),  # "2.0" is not "20"; "3.10" is the time "3:10"
    (re.compile("(?<=\u0435)\u0308"), ""),  # Russian prints yo as ye
)
"""Ways of writing the same, after decomposition and case folding."""


def title_key(name: str) -> str:
    """Equal for spellings of one title. Never empty for a name that has anything in it."""
    shown = "".join(char for char in name if char not in TYPOGRAPHIC)
    powers = POWER.sub(RAISED, shown)
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", powers).casefold())
    for pattern, spelling in SPELLINGS:
        text = pattern.sub(spelling, text)
    kept: list[str] = []
    letter = ""
    for char in text:
        if unicodedata.category(char) not in ("Mn", "Mc"):
            letter = char if _counts(char) else ""
            kept.append(letter)
        elif letter and not _optional(char, letter):
            kept.append(char)
    return unicodedata.normalize("NFC", "".join(kept)) or "".join(name.split())


def _counts(char: str) -> bool:
    if char.isalnum() or char in MEANT:
        return True
    return unicodedata.category(char) in ("Sm", "Sc", "So") and char not in TYPOGRAPHIC


def _optional(mark: str, letter: str) -> bool:
    """Whether people write the word without ``mark``: accents of Latin and Greek, vowel points of
    Hebrew, Arabic and Syriac (Unicode's combining classes 10 to 36), variation selectors."""
    if 10 <= unicodedata.combining(mark) <= 36:
        return True
    accented = unicodedata.name(letter, "").startswith(("LATIN", "GREEK"))
    return accented or unicodedata.name(mark, "").startswith("VARIATION SELECTOR")
