"""Questions about one passage: published wording, and text that looks like a placeholder."""

import pytest

from rankers.methods.pointwise import RELEVANCE, query_likelihood_messages


def test_published_wordings() -> None:
    def user(name: str) -> str:
        return RELEVANCE[name].messages("who", ["a text"])[-1]["content"]  # type: ignore[index]

    assert user("yes_no") == (
        "Passage: a text\nQuery: who\nDoes the passage answer the query? Answer 'Yes' or 'No'"
    )
    assert user("mono_t5") == "Query: who Document: a text Relevant:"
    assert user("qwen3_reranker") == (
        "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
        "<Query>: who\n<Document>: a text"
    )
    assert [turn["role"] for turn in RELEVANCE["qwen3_reranker"].messages("q", ["d"])] == [
        "system",
        "user",
    ]
    [turn] = query_likelihood_messages("a text")
    assert turn["content"] == "Passage: a text\nPlease write a question based on this passage."


@pytest.mark.parametrize("name", RELEVANCE)
def test_a_placeholder_in_the_text_is_text(name: str) -> None:
    question = RELEVANCE[name]  # type: ignore[index]
    content = question.messages("{passage} {0}", ["{query} {} {passage}"])[-1]["content"]
    assert "{passage} {0}" in content
    assert "{query} {} {passage}" in content
    assert len(content) == len(question.user) + len("{passage} {0}{query} {} {passage}") - len(
        "{query}{passage}"
    )
