"""What reads users' texts, files and models' answers takes time in proportion to their length."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from rankers.datasets.parsers import trec_documents
from rankers.methods.iranker import exclusion_reward, read_iranker
from rankers.methods.rank_r1 import rank_r1_reward, read_rank_r1
from rankers.methods.setwise import read_letter
from rankers.prompting.control_tokens import Controls
from rankers.prompting.parsing import loose_ids, parse_permutation
from rankers.prompting.sanitize import neutralise_fields
from rankers.robustness import perturbations

Reads = Callable[[str], object]

UNITS = [
    *(
        "<",
        "[",
        "(",
        "|",
        "#",
        " ",
        "\n",
        "!",
        "1",
        "a",
        "A",
        "\u200b",
        "\u00ad",
        "\uff1c",
        "\uff5c",
    ),
    *(
        "<\u200b",
        "[\u200b",
        "<\u200b/\u200b",
        "[1\u200b",
        "[ ",
        "< / ",
        "[1",
        "[1] ",
        "[1]>",
        "(1 ",
    ),
    *("document ", "document1", "passage ", "passage \u200b", "passage 1", "query ", "query\u200b"),
    *("<think>", "</think>", "</think>\n<answer>", "<think> </think>\n<answer> ", "</answer>"),
    *("<think> \n", "<answer> passage ", "a (", "a, The", "(1999) ", "<DOC ", "<TEXT>", "<TEXT "),
    *(
        "] <]",
        "]<",
        "<|",
        "[|",
        ">>",
        "a_",
        "<a_",
        "[A_",
        "Passage A ",
        "!a",
        "a ! ",
        "1 > ",
        "[A] ",
    ),
]
OPENINGS = ["", "<", "<think> "]


def trec_file(tmp_path: Path) -> Reads:
    path = tmp_path / "docs.trec"

    def read(text: str) -> object:
        body = text.replace("<DOC>", "").replace("</DOC>", "")
        path.write_text(f"<DOC>\n<DOCNO> 1 </DOCNO>\n{body}\n</DOC>\n", "utf-8")
        return list(trec_documents(path))

    return read


READERS: dict[str, Reads] = {
    "neutralise_fields": neutralise_fields,
    "controls": Controls(["<eoh>", "]<]x[>[", "aaa"], ["USER:", "### A:"]).broken,
    "numbers": lambda text: parse_permutation(text, 20),
    "letters": lambda text: parse_permutation(text, 20, labels="letters"),
    "loose": loose_ids,
    "letter": lambda text: read_letter(text, 20),
    "rank_r1": lambda text: read_rank_r1(text, 20),
    "rank_r1_reward": lambda text: rank_r1_reward(text, 1),
    "iranker": lambda text: read_iranker(text, 20),
    "exclusion": lambda text: exclusion_reward(text, 20, 1),
    "exclusion_released": lambda text: exclusion_reward(text, 20, 1, variant="released"),
    "punctuation": lambda text: perturbations.without_punctuation(text, Random(0)),
    "stop_words": lambda text: perturbations.without_stop_words(text, Random(0)),
}


def seconds(read: Reads, text: str) -> float:
    start = time.process_time()
    read(text)
    return time.process_time() - start


def grows_too_fast(read: Reads, unit: str, opening: str, ending: str) -> bool:
    """Whether four times the text takes more than eight times as long, three times in a row."""

    def cost(size: int) -> float:
        return seconds(read, opening + unit * (size // len(unit)) + ending)

    size = 3_000
    while cost(4 * size) < 0.002 and size < 20_000:  # too short to tell
        size *= 4
    return all(cost(4 * size) > 8 * cost(size) + 0.01 for _ in range(3))


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_linear_time(name: str) -> None:
    slow = [
        (opening, unit)
        for unit in UNITS
        for opening in OPENINGS
        if grows_too_fast(READERS[name], unit, opening, "x")
    ]
    assert slow == []


def test_so_does_markup_in_a_file_of_documents(tmp_path: Path) -> None:
    read = trec_file(tmp_path)
    assert [unit for unit in UNITS if grows_too_fast(read, unit, "<TEXT>", "</TEXT>")] == []
    assert [unit for unit in UNITS if grows_too_fast(read, unit, "<TEXT", "")] == []
