"""The declared settings: what is taken from a file, and what is said of the rest."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.domain.settings import (
    DECLARATIONS,
    Appearance,
    InvalidSetting,
    Kind,
    OnQuit,
    OnStart,
    Settings,
    default_settings,
    read_setting,
    read_settings,
    written_settings,
)


def test_the_table_declares_every_setting_with_its_default() -> None:
    defaults = Settings()
    assert [declaration.key for declaration in DECLARATIONS] == [field.name for field in fields(Settings)]
    for declaration in DECLARATIONS:
        assert getattr(defaults, declaration.key) == declaration.default
        assert declaration.label
        assert declaration.help.endswith(".")


def test_every_kind_can_be_edited() -> None:
    for declaration in DECLARATIONS:
        values = [choice.value for choice in declaration.choices]
        if declaration.kind is Kind.CHOICE:
            assert values == list(type(declaration.default)), "each member once, in its order"  # type: ignore[call-overload] # an Enum
            assert all(choice.label for choice in declaration.choices)
        else:
            assert values == []
            assert isinstance(declaration.default, bool if declaration.kind is Kind.SWITCH else str)


@pytest.mark.parametrize(
    ("system", "close_to_tray"), [("linux", False), ("freebsd14", False), ("win32", True), ("darwin", True)]
)
def test_a_tray_is_relied_on_where_every_desktop_has_one(system: str, close_to_tray: bool) -> None:
    assert default_settings(system) == Settings(close_to_tray=close_to_tray)


def test_what_is_written_is_read() -> None:
    settings = Settings(ollama_binary="/opt/ollama/bin/ollama", address="0.0.0.0:9000", on_quit=OnQuit.LEAVE)
    settings = replace(settings, on_start=OnStart.WATCH, default_model="qwen3:8b", close_to_tray=True)
    settings = replace(settings, appearance=Appearance.DARK)
    assert read_settings(written_settings(settings)) == (settings, ())


@pytest.mark.parametrize(
    ("key", "raw", "reason"),
    [
        pytest.param("on_quit", "explode", "stop, leave", id="not a choice"),
        pytest.param("on_quit", None, "stop, leave", id="null"),
        pytest.param("ollama_binary", 7, "a text", id="number for a text"),
        pytest.param("ollama_binary", ["x"], "a text", id="list for a text"),
        pytest.param("ollama_binary", "a\nb", "one line", id="two lines"),
        pytest.param("address", "ftp://box", "ftp://", id="impossible address"),
        pytest.param("on_start", "sleep", "start, watch", id="not what a start may do"),
        pytest.param("appearance", "pink", "system, light, dark", id="not an appearance"),
        pytest.param("close_to_tray", "yes", "true or false", id="text for a switch"),
        pytest.param("default_model", "a b", "", id="impossible model name"),
    ],
)
def test_an_impossible_value_is_named(key: str, raw: object, reason: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        read_setting(key, raw)
    assert key in caught.value.title
    assert reason in caught.value.title


def test_an_unknown_setting_is_named_with_those_there_are() -> None:
    with pytest.raises(InvalidSetting) as caught:
        read_setting("colour", "red")
    assert "colour" in caught.value.title
    assert "on_quit" in caught.value.hint


def test_one_wrong_value_costs_only_itself() -> None:
    settings, notices = read_settings({"ollama_binary": "/x", "on_quit": 3, "later": True})
    assert settings == Settings(ollama_binary="/x")
    assert len(notices) == 1
    assert "on_quit" in notices[0].title


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([d.key for d in DECLARATIONS]) | st.text(), json_values))
def test_whatever_a_file_holds_the_settings_are_complete(raw: dict[str, object]) -> None:
    settings, notices = read_settings(raw)
    assert isinstance(settings.on_quit, OnQuit)
    assert isinstance(settings.ollama_binary, str)
    assert isinstance(settings.address, str)
    assert len(notices) <= len(DECLARATIONS)
