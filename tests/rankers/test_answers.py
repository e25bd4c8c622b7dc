"""Rankings as models write them that were never tuned for the format: what each of them means."""

import pytest

from rankers.prompting.parsing import parse_permutation

WHOLE = "4 3 2 1"
FOUR_WAYS = [
    # One chain, whatever joins it.
    "[4] > [3] > [2] > [1]",
    "[4]>[3]>[2]>[1]",
    "[4] > [3] [2] > [1]",
    "[4] > [3], [2] > [1]",
    "[4] > [3] >> [2] > [1]",
    "[4] = [3] > [2] > [1]",
    "[4] >= [3] >= [2] >= [1]",
    "[4] > [3] > 2 > [1]",
    "[4] > [3] > [2] [1]",
    "[4], [3], [2], [1]",
    "[4], [3], [2], and [1]",
    "[4] -> [3] -> [2] -> [1]",
    "[4] => [3] => [2] => [1]",
    "[4] \u2192 [3] \u2192 [2] \u2192 [1]",
    "[4] \u227b [3] \u227b [2] \u227b [1]",
    "[4] &gt; [3] &gt; [2] &gt; [1]",
    "[4] > [3] ~ [2] > [1]",
    "[4] > {[3], [2]} > [1]",
    "[4] > [3] > ... > [2] > [1]",
    "[4] > [3]\n[2] > [1]",
    "[4] > [3] >\n[2] > [1]",
    "[4][3][2][1]",
    "[4] [3] [2] [1]",
    "[04] > [03] > [02] > [01]",
    "[ 4 ] > [ 3 ] > [ 2 ] > [ 1 ]",
    "[#4] > [#3] > [#2] > [#1]",
    # Other brackets, digits, names.
    "\uff3b4\uff3d > \uff3b3\uff3d > \uff3b2\uff3d > \uff3b1\uff3d",
    "\u30104\u3011\uff1e\u30103\u3011\uff1e\u30102\u3011\uff1e\u30101\u3011",
    "[\uff14] > [\uff13] > [\uff12] > [\uff11]",
    "\u2463 > \u2462 > \u2461 > \u2460",
    "(4) > (3) > (2) > (1)",
    "4 > 3 > 2 > 1",
    "4, 3, 2, 1",
    "4 3 2 1",
    "4\n3\n2\n1",
    "Passage 4 > Passage 3 > Passage 2 > Passage 1",
    "Passage [4] > Passage [3] > Passage [2] > Passage [1]",
    "[Passage 4] > [Passage 3] > [Passage 2] > [Passage 1]",
    "Doc4 > Doc3 > Doc2 > Doc1",
    "P4 > P3 > P2 > P1",
    "Passages 4, 3, 2 and 1",
    # Dress.
    "**[4]** > **[3]** > **[2]** > **[1]**",
    "`[4] > [3] > [2] > [1]`",
    "```\n[4] > [3] > [2] > [1]\n```",
    "\\boxed{[4] > [3] > [2] > [1]}",
    "$[4] \\succ [3] \\succ [2] \\succ [1]$",
    "$$\\boxed{4 > 3 > 2 > 1}$$",
    "[4, 3, 2, 1]",
    "[4 > 3 > 2 > 1]",
    "[[4], [3], [2], [1]]",
    '["[4]", "[3]", "[2]", "[1]"]',
    '["Passage 4", "Passage 3", "Passage 2", "Passage 1"]',
    '```json\n{"ranking": [4, 3, 2, 1]}\n```',
    '[{"id": 4, "score": 0.9}, {"id": 3, "score": 0.8}, {"id": 2, "score": 0.3}, {"id": 1}]',
    "<answer>[4] > [3] > [2] > [1]</answer>",
    "<answer>4, 3, 2, 1</answer> I hope that [1] > [4] is no problem.",
    "<ANSWER>\n[4] > [3] > [2] > [1]\n</ANSWER>",
    "<answer>[4] > [3] > [2] > [1]",
    # Lists.
    "1. [4]\n2. [3]\n3. [2]\n4. [1]",
    "1) [4]\n2) [3]\n3) [2]\n4) [1]",
    "1. Passage 4\n2. Passage 3\n3. Passage 2\n4. Passage 1",
    "1. **[4]**: tides, as of 2021\n2. **[3]**: beats [1]\n3. **[2]**\n4. **[1]**: 2 errors",
    "1. 4\n2. 3\n3. 2\n4. 1",
    "1\t4\n2\t3\n3\t2\n4\t1",
    "1. [Passage 4](x)\n2. [Passage 3](y)\n3. [Passage 2]\n4. [Passage 1]\n\n[2] fits",
    "1: [4]\n2: [3]\n3: [2]\n4: [1]",
    "1 - [4]\n2 - [3]\n3 - [2]\n4 - [1]",
    "Rank 1: [4]\nRank 2: [3]\nRank 3: [2]\nRank 4: [1]",
    "1st: [4]\n2nd: [3]\n3rd: [2]\n4th: [1]",
    "First: [4]\nSecond: [3]\nThird: [2]\nFourth: [1]",
    "| Rank | Passage |\n|---|---|\n| 1 | [4] |\n| 2 | [3] |\n| 3 | [2] |\n| 4 | [1] |",
    "| 1 | 4 |\n| 2 | 3 |\n| 3 | 2 |\n| 4 | 1 |",
    "- [4]\n- [3]\n- [2]\n- [1]",
    "* **[4]** (most relevant)\n* **[3]**\n* **[2]**\n* **[1]** (off topic)",
    "[4]\n\n[3]\n\n[2]\n\n[1]",
    "[4] answers it in 2 ways.\n[3] names 1 of them.\n[2] is near.\n[1] is not.",
    "[4]: 0.95\n[3]: 0.80\n[2]: 0.31\n[1]: 0.02",
    "4. Tides follow the moon\n3. Seas and moons\n2. Rivers\n1. Bread",
    "1. [4] (score: 9/10)\n\n2. [3] (score: 7/10)\n\n3. [2] (score: 3/10)\n\n4. [1] (1/10)",
    "1. Document [4] - 3 of the terms\n2. Document [3] - 2 of them\n3. Document [2]\n4. [1]",
    "1. [4] > 2. [3] > 3. [2] > 4. [1]",
    "1. Tides follow the moon [4]\n2. Rivers [3]\n3. Salt [2]\n4. Bread rises with 2 yeasts [1]",
    # In sentences.
    "The best is [4], then [3], followed by [2] and finally [1].",
    "[4] is the most relevant, [3] comes next, [2] is weak, and [1] is off topic.",
    "Passage 4 is best, passage 3 is good, passage 2 is weak, passage 1 is off topic.",
    "[4] (0.9) > [3] (0.8) > [2] (0.5) > [1] (0.1)",
    "[4] is better than [3], which is better than [2], and [1] is last.",
    # Words around it.
    "Ranking: 4 > 3 > 2 > 1",
    "**Final ranking:** [4] > [3] > [2] > [1]",
    "Sure! Here are the 4 passages, ranked:\n\n[4] > [3] > [2] > [1]",
    "Of the 4 passages, 2 fit the query of 2021: [4] > [3] > [2] > [1].",
    "Here is the order of the 2 best and 2 others: 4, 3, 2, 1",
    "[4] > [3] > [2] > [1]\n\nSo [1] > [2] is false.",
    "[4] > [3] > [2] > [1]\n\nNote: [1] is off topic.",
    "[4] > [3] > [2] > [1], not [1] > [2] > [3] > [4]",
    "[4] > [3] > [2] > [1]. Of course, [1] > [2] > [3] > [4] is wrong.",
    "[1] > [2] > [3] > [4] isn't right. [4] > [3] > [2] > [1] is right.",
    "[4] > [3] > [2] > [1]\n[1] is last as it has 5 errors, [2] > [1].",
    "[4] > [3] > [2] > [1] because [4] names the moon and [3] > [2] in 2 ways",
    "4 > 3 > 2 > 1 (since 1 < 2)",
    "[4] > [3] > [2] > [1]\n\nExplanation:\n[1] is on bread.\n[2] is on salt.\n[3] on rivers.\n"
    "[4] on tides.",
    "1. [4]\n2. [3]\n3. [2]\n4. [1]\n\nAs said, [1] > [2] does not hold.",
    # Said before.
    "The passages are [1], [2], [3] and [4]. My ranking is [4] > [3] > [2] > [1]",
    "Passages: [1] [2] [3] [4]\n[4] > [3] > [2] > [1]",
    "[1] on bread\n[2] on salt\n[3] on rivers\n[4] on tides\n\nRanking: [4] > [3] > [2] > [1]",
    "Passages:\n1. Bread\n2. Salt\n3. Rivers\n4. Tides\n\nOrder: 4, 3, 2, 1",
    "[1] > [2] > [3] > [4]? No.\n[4] > [3] > [2] > [1]",
    "As in [2] > [1], the format is clear.\n\n[4] > [3] > [2] > [1]",
    "<think>[1] > [2] > [3] > [4]</think>[4] > [3] > [2] > [1]",
    "<THINK>[1] > [2] > [3] > [4]</THINK>\n[4] > [3] > [2] > [1]",
    "<think>a</think> [1] > [2] > [3] > [4] <think>no</think> [4] > [3] > [2] > [1]",
    "[THINK][1] > [2] > [3] > [4][/THINK][4] > [3] > [2] > [1]",
    # Said again.
    "[4] > [3] > [2] > [1]\n\nFinal answer: [4] > [3] > [2] > [1]",
    "[4] > [3] > [2] > [1]\n\nFinal answer: [4] > [3",
    "[4] > [3] > [2] > [1]\n[4] > [3] > [2] > [1]\n[4] > [3] >",
    "[4] > [3] > [2] > [1] > [4] > [3] > [2] > [1] > [4]",
    # With faults of its own.
    "[4] > [3] > [2] > [1] > [5] > [6]",
    "[9] > [4] > [3] > [2] > [0] > [1]",
    "[4] > [4] > [3] > [2] > [3] > [1]",
    "[4] > [3] > [2",
    "[4] > [3]",
    "[4] is best, then [3]; the others are off topic.",
    "4 > 3, and none of the other 20 is of use",
    "1. [4]\n2. [3]",
    "The most relevant is [4] and the next is [3].",
    "[1] [2] [3] [4]\n\n[4] > [3]",
    "The top 2 are: [4], [3]",
    '{"ranking": [4, 3]}',
]


@pytest.mark.parametrize("text", FOUR_WAYS)
def test_an_order_is_read_as_it_is_meant(text: str) -> None:
    order = [i + 1 for i in parse_permutation(text, 4).order]
    # Answers that name the best two alone leave the others in input order.
    assert order in ([4, 3, 2, 1], [4, 3, 1, 2])
    named = parse_permutation(text, 4).listed
    assert order[2:] == ([2, 1] if named > 2 else [1, 2])


@pytest.mark.parametrize(
    ("text", "n", "order"),
    [
        ("[2] > [1]\n\nSo [1] > [2] is false.", 2, [2, 1]),
        ("[2] > [1], so [1] > [2] is false.", 2, [2, 1]),
        ("[1] > [2]: no.\n\n[2] > [1]", 2, [2, 1]),
        ("Of the 2 passages the better is [2].", 2, [2, 1]),
        ("Of the 2 passages the better is [1].", 2, [1, 2]),
        ("The 3 passages: [2] is best.", 3, [2, 1, 3]),
        ("As of 2021, 3 passages discuss it. The best is [2].", 3, [2, 1, 3]),
        ("Passage 2", 3, [2, 1, 3]),
        ("Passage 3 is the most relevant", 4, [3, 1, 2, 4]),
        ("12 > 3 > 11", 12, [12, 3, 11, 1, 2, 4, 5, 6, 7, 8, 9, 10]),
        ("1. [12]\n2. [3]\n3. [11]", 12, [12, 3, 11, 1, 2, 4, 5, 6, 7, 8, 9, 10]),
        ("[5] is off topic. [3] > [1]", 5, [3, 1, 2, 4, 5]),
        ("1. [7]\n2. [3]", 8, [7, 3, 1, 2, 4, 5, 6, 8]),
        ("1. [2]\n2. [1]", 2, [2, 1]),
        ("1. 2\n2. 1", 2, [2, 1]),
        ("\u246b > \u2462 > \u246a", 12, [12, 3, 11, 1, 2, 4, 5, 6, 7, 8, 9, 10]),
        ("None of the passages is relevant.", 3, [1, 2, 3]),
        ("I cannot rank these 3 passages.", 3, [1, 2, 3]),
        ("Neither of the 2 given documents is relevant.", 3, [1, 2, 3]),
        ("The best is 3", 3, [3, 1, 2]),
        ("", 3, [1, 2, 3]),
    ],
)
def test_what_is_named_comes_first(text: str, n: int, order: list[int]) -> None:
    assert [i + 1 for i in parse_permutation(text, n).order] == order


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("[D] > [C] [B] > [A]", "DCBA"),
        ("[D], [C], [B], [A]", "DCBA"),
        ("D > C > B > A", "DCBA"),
        ("D, C, B, A", "DCBA"),
        ("Passage D > Passage C > Passage B > Passage A", "DCBA"),
        ("1. [D]\n2. [C]\n3. [B]\n4. [A]", "DCBA"),
        ("I think that A passage is best: [D] > [C]", "DCAB"),
        ("[D] > [C] > [B] > [A]\n\nSo [A] > [B] is false.", "DCBA"),
        ("[D, C, B, A]", "DCBA"),
    ],
)
def test_letters_are_read_alike(text: str, order: str) -> None:
    parsed = parse_permutation(text, 4, labels="letters")
    assert "".join("ABCD"[i] for i in parsed.order) == order


@pytest.mark.parametrize("text", FOUR_WAYS[1:])
def test_only_the_asked_form_is_strict(text: str) -> None:
    parsed = parse_permutation(text, 4)
    exact = text == "[4]>[3]>[2]>[1]" or text.startswith("[04]")
    thought = text.rpartition("</think>")[2].strip() == "[4] > [3] > [2] > [1]"
    assert parsed.well_formed == (exact or thought or text == "[4] > [3] >\n[2] > [1]")
