"""Drawn at once, then at most once a frame, the last wish always."""

from __future__ import annotations

from PySide6.QtCore import QObject

from launcher.ui.pace import Pace


def test_the_first_wish_is_drawn_at_once_and_the_last_one_later(qtbot) -> None:
    drawn: list[int] = []
    wishes: list[int] = []
    owner = QObject()
    pace = Pace(lambda: drawn.append(len(wishes)), owner)
    for number in range(100):
        wishes.append(number)
        pace.wish()
    assert drawn == [1]
    qtbot.waitUntil(lambda: drawn == [1, 100])


def test_a_wish_made_while_drawing_waits_for_the_next_frame(qtbot) -> None:
    drawn: list[int] = []
    owner = QObject()

    def draw() -> None:
        drawn.append(len(drawn))
        if len(drawn) < 4:
            pace.wish()

    pace = Pace(draw, owner)
    pace.wish()
    assert drawn == [0]
    qtbot.waitUntil(lambda: drawn == [0, 1, 2, 3])


def test_what_rests_draws_nothing_until_it_is_wished_again(qtbot) -> None:
    drawn: list[str] = []
    owner = QObject()
    pace = Pace(lambda: drawn.append("drawn"), owner)
    pace.wish()
    pace.wish()
    pace.rest()
    pace.wish()
    assert drawn == ["drawn", "drawn"]
    pace.rest()
