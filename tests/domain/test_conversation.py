"""What is sent of a conversation, and what a file keeps of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.domain.conversation import (
    Conversation,
    Ended,
    InvalidConversation,
    Role,
    Turn,
    read_conversation,
    write_conversation,
)
from launcher.errors import InvalidInput
from launcher.ollama.requests import message_body

TALK = Conversation(
    "tiny:latest",
    "You are brief.",
    (
        Turn(Role.USER, "What is this?", images=("aGk=",)),
        Turn(Role.ASSISTANT, "A cat, or", "Ears. Whiskers.", ended=Ended.STOPPED),
    ),
)


def test_what_is_sent() -> None:
    assert TALK.messages() == [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "What is this?", "images": ["data:;base64,aGk="]},
        {"role": "assistant", "content": "A cat, or"},
    ]
    assert Conversation("x").messages() == []


def test_no_picture_of_a_conversation_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    own, foreign = (
        Conversation("x", turns=(Turn(Role.USER, "What is this?", images=(image,)),)).messages()[0]
        for image in ("aGk=", str(tmp_path / "secret.png"))
    )
    assert message_body(own)["images"] == ["aGk="]
    with pytest.raises(InvalidInput):
        message_body(foreign)


def test_what_is_forgotten() -> None:
    assert TALK.cleared() == Conversation("tiny:latest", "You are brief.")
    assert TALK.without_last_turn().turns == TALK.turns[:1]


def test_what_a_file_holds() -> None:
    written = json.loads(write_conversation(TALK))
    assert written["messages"][1] == {
        "role": "assistant",
        "content": "A cat, or",
        "thinking": "Ears. Whiskers.",
        "ended": "stopped",
    }


turns = st.builds(
    Turn,
    st.sampled_from(Role),
    st.text(),
    st.text(),
    st.lists(st.text(), max_size=2).map(tuple),
    st.sampled_from(Ended),
)
conversations = st.builds(Conversation, st.text(), st.text(), st.lists(turns, max_size=4).map(tuple))


@given(conversations)
def test_what_is_written_comes_back(conversation: Conversation) -> None:
    assert read_conversation(write_conversation(conversation)) == conversation


def test_messages_as_the_server_takes_them_are_read() -> None:
    text = '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}'
    assert read_conversation(text) == Conversation("", "s", (Turn(Role.USER, "u"),))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("hello", "not JSON", id="text"),
        pytest.param("[" * 100_000, "not JSON", id="deep"),
        pytest.param("[]", "no messages", id="list"),
        pytest.param('{"messages": {}}', "no messages", id="no list"),
        pytest.param('{"format": 2, "messages": []}', "another version", id="newer"),
        pytest.param('{"messages": [1]}', "Message 1 cannot", id="number"),
        pytest.param('{"messages": [{"role": "tool"}]}', "Message 1 is of nobody", id="role"),
        pytest.param('{"messages": [{"role": ["user"]}]}', "Message 1 is of nobody", id="list of roles"),
        pytest.param('{"messages": [{"role": "user", "content": 1}]}', "“content” is not a text", id="content"),
        pytest.param('{"messages": [{"role": "user", "images": [1]}]}', "pictures of message 1", id="images"),
    ],
)
def test_what_is_no_conversation(text: str, words: str) -> None:
    with pytest.raises(InvalidConversation, match=words):
        read_conversation(text)
