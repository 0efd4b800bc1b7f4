"""Names go in, checked while they are typed; rows and pane follow the store; every wish has a key."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton

from launcher.domain.server import ServerState
from launcher.domain.transfer import Phase
from launcher.ui.pages.downloads import DownloadsPage
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from launcher.ui.widgets.pull_box import PullBox, Wanted, read_names


@pytest.fixture
def page(store: Store, theme: Theme, qtbot) -> DownloadsPage:
    page = DownloadsPage(store, theme)
    qtbot.addWidget(page)
    page.resize(850, 650)
    page.show()
    qtbot.waitExposed(page)
    page.activateWindow()
    return page


class Wishes:
    def __init__(self, page: DownloadsPage) -> None:
        self.seen: list[tuple[str, object]] = []
        for name in ("pull", "cancel", "retry", "dismiss", "page"):
            signal = getattr(page, f"{name}_requested")
            signal.connect(lambda value, name=name: self.seen.append((name, value)))


@pytest.fixture
def wishes(page: DownloadsPage) -> Wishes:
    return Wishes(page)


def _shown_buttons(page: DownloadsPage) -> list[str]:
    return [each.objectName() for each in page.detail.findChildren(QPushButton) if each.isVisible()]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param("  ", (), id="spaces"),
        pytest.param("qwen3", ("qwen3:latest",), id="without a tag"),
        pytest.param(" llama3.2:3b ", ("llama3.2:3b",), id="spaces around"),
        pytest.param("qwen3:8b,gemma3:4b", ("qwen3:8b", "gemma3:4b"), id="comma"),
        pytest.param("qwen3:8b, gemma3:4b;\tphi4", ("qwen3:8b", "gemma3:4b", "phi4:latest"), id="mixed"),
        pytest.param("qwen3:8b\nqwen3:4b\r\n", ("qwen3:8b", "qwen3:4b"), id="lines"),
        pytest.param("qwen3:8b,gemma3:4b、phi4", ("qwen3:8b", "gemma3:4b", "phi4:latest"), id="wide commas"),
        pytest.param("qwen3 QWEN3:latest", ("qwen3:latest",), id="the same twice"),
        pytest.param("ollama run llama3.2:1b", ("llama3.2:1b",), id="the command of a web page"),
        pytest.param("ollama pull llama3.2:1b", ("llama3.2:1b",), id="the other command"),
        pytest.param("run", ("run:latest",), id="a model called run"),
        pytest.param("hf.co/u/r:Q4_K_M", ("hf.co/u/r:Q4_K_M",), id="another host"),
    ],
)
def test_names_are_read(text: str, names: tuple[str, ...]) -> None:
    assert read_names(text) == Wanted(names)


@pytest.mark.parametrize("text", ["llama3.2:", "user/", "qwen3 hf.co/user/"])
def test_a_name_that_is_still_being_typed_is_not_blamed(text: str) -> None:
    assert read_names(text) == Wanted((), unfinished=True)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param("-x", "must begin with a letter", id="alone"),
        pytest.param("a/b/c/d", "at most three parts", id="parts"),
        pytest.param("qwen3 -x", "“-x” cannot be the name", id="one of several is named"),
        pytest.param("llama3.2: qwen3", "“llama3.2:” cannot be the name", id="unfinished, and gone on"),
    ],
)
def test_an_impossible_name_has_its_reason(text: str, part: str) -> None:
    wanted = read_names(text)
    assert part in wanted.reason
    assert wanted.names == ()


@pytest.fixture
def box(theme: Theme, qtbot) -> PullBox:
    box = PullBox()
    qtbot.addWidget(box)
    box.show()
    return box


def _note(box: PullBox) -> str:
    return box.findChild(QLabel, "pull-note").text()


def test_the_reason_is_below_the_field_and_gone_when_mended(box: PullBox, qtbot) -> None:
    assert not box.button.isEnabled()
    helpful = _note(box)
    qtbot.keyClicks(box.field, "-x")
    assert "must begin with a letter" in _note(box)
    assert box.field.accessibleDescription() == _note(box)
    assert not box.button.isEnabled()

    box.field.setText("x")
    assert _note(box) == helpful
    assert box.button.isEnabled()
    assert box.field.property("tone") == ""


def test_the_button_says_how_many(box: PullBox) -> None:
    box.field.setText("qwen3:8b gemma3:4b")
    assert box.button.text() == box.button.accessibleName() == "Download 2 models"


@pytest.mark.parametrize("how", ["button", "return"])
def test_names_are_wished_once_and_the_field_is_free(box: PullBox, qtbot, how: str) -> None:
    wishes: list[tuple[str, ...]] = []
    box.pull_requested.connect(wishes.append)
    qtbot.keyClicks(box.field, "qwen3:8b, gemma3:4b")
    if how == "button":
        qtbot.mouseClick(box.button, Qt.MouseButton.LeftButton)
    else:
        qtbot.keyClick(box.field, Qt.Key.Key_Return)
    qtbot.keyClick(box.field, Qt.Key.Key_Return)
    assert wishes == [("qwen3:8b", "gemma3:4b")]
    assert box.field.text() == ""


def test_an_impossible_name_is_never_wished(box: PullBox, qtbot) -> None:
    wishes: list[tuple[str, ...]] = []
    box.pull_requested.connect(wishes.append)
    qtbot.keyClicks(box.field, "qwen3 -x")
    qtbot.keyClick(box.field, Qt.Key.Key_Return)
    assert wishes == []
    assert box.field.text() == "qwen3 -x"


def test_pasted_lines_are_several_names(box: PullBox, qtbot) -> None:
    QGuiApplication.clipboard().setText("qwen3:8b\ngemma3:4b\n")
    box.field.setFocus()
    box.field.paste()
    assert box.button.text() == "Download 2 models"


# --- the page ---------------------------------------------------------------------------------------------------------


def test_an_empty_list_says_how_to_begin(page: DownloadsPage, qtbot, wishes: Wishes) -> None:
    assert not page.view.isVisible()
    assert not page.detail.isVisible()
    qtbot.mouseClick(page.findChild(QPushButton, "example-model-button"), Qt.MouseButton.LeftButton)
    assert page.pull_box.field.text() == "llama3.2:1b"
    qtbot.keyClick(page.pull_box.field, Qt.Key.Key_Return)
    assert wishes.seen == [("pull", ("llama3.2:1b",))]


def test_a_page_built_late_shows_what_is_known(store: Store, theme: Theme, qtbot, make_transfer) -> None:
    store.put((make_transfer(permille=10),))
    page = DownloadsPage(store, theme)
    qtbot.addWidget(page)
    assert page.current == store.transfers[0]


def test_the_first_download_is_selected_and_told(page: DownloadsPage, store: Store, make_transfer) -> None:
    store.put(
        (
            make_transfer(
                permille=620,
                completed_bytes=1_240_000_000,
                total_bytes=2_000_000_000,
                total_is_so_far=False,
                rate_bps=48.2e6,
            ),
        )
    )
    assert page.view.isVisible()
    assert page.detail.findChild(QProgressBar).value() == 620
    words = {label.text() for label in page.detail.findChildren(QLabel) if label.isVisible()}
    assert words == {"llama3.2:3b", "Downloading", "62 % · 1.2 of 2.0 GB · 48 MB/s · ∞"}


@pytest.mark.parametrize(
    ("phase", "buttons"),
    [
        (Phase.QUEUED, ["pause-button", "cancel-button"]),
        (Phase.CONNECTING, ["pause-button", "cancel-button"]),
        (Phase.PULLING, ["pause-button", "cancel-button"]),
        (Phase.STALLED, ["pause-button", "cancel-button"]),
        (Phase.VERIFYING, ["pause-button", "cancel-button"]),
        (Phase.WRITING, ["pause-button", "cancel-button"]),
        (Phase.PAUSED, ["resume-button", "cancel-button"]),
        (Phase.WAITING_NETWORK, ["pause-button", "cancel-button"]),
        (Phase.WAITING_SPACE, ["pause-button", "cancel-button"]),
        (Phase.DONE, ["show-model-button", "dismiss-button"]),
        (Phase.FAILED, ["retry-button", "dismiss-button"]),
    ],
    ids=lambda value: value.value if isinstance(value, Phase) else "",
)
def test_the_pane_offers_what_fits_the_phase(
    page: DownloadsPage, store: Store, make_transfer, phase: Phase, buttons: list[str]
) -> None:
    store.put((make_transfer(phase=phase),))
    assert _shown_buttons(page) == buttons


@pytest.mark.parametrize(
    ("phase", "button", "wish"),
    [
        (Phase.PULLING, "pause-button", ("cancel", "llama3.2:3b")),
        (Phase.PULLING, "cancel-button", ("dismiss", "llama3.2:3b")),
        (Phase.PAUSED, "resume-button", ("retry", "llama3.2:3b")),
        (Phase.FAILED, "retry-button", ("retry", "llama3.2:3b")),
        (Phase.FAILED, "dismiss-button", ("dismiss", "llama3.2:3b")),
        (Phase.DONE, "show-model-button", ("page", "models")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_panes_buttons_wish(
    page: DownloadsPage, store: Store, qtbot, make_transfer, wishes: Wishes, phase, button, wish
) -> None:
    store.put((make_transfer(phase=phase),))
    qtbot.mouseClick(page.findChild(QPushButton, button), Qt.MouseButton.LeftButton)
    assert wishes.seen == [wish]


@pytest.mark.parametrize(
    ("phase", "key", "seen"),
    [
        pytest.param(Phase.PULLING, Qt.Key.Key_Delete, [("cancel", "llama3.2:3b")], id="delete stops"),
        pytest.param(Phase.PAUSED, Qt.Key.Key_Delete, [("dismiss", "llama3.2:3b")], id="delete takes off"),
        pytest.param(Phase.FAILED, Qt.Key.Key_Delete, [("dismiss", "llama3.2:3b")], id="delete dismisses"),
        pytest.param(Phase.DONE, Qt.Key.Key_Delete, [("dismiss", "llama3.2:3b")], id="delete forgets"),
        pytest.param(Phase.FAILED, Qt.Key.Key_Return, [("retry", "llama3.2:3b")], id="return tries again"),
        pytest.param(Phase.PAUSED, Qt.Key.Key_Return, [("retry", "llama3.2:3b")], id="return goes on"),
        pytest.param(Phase.DONE, Qt.Key.Key_Return, [("page", "models")], id="return shows the model"),
        pytest.param(Phase.PULLING, Qt.Key.Key_Return, [], id="return leaves what runs"),
    ],
)
def test_keys_of_the_list(
    page: DownloadsPage, store: Store, qtbot, make_transfer, wishes: Wishes, phase, key, seen
) -> None:
    store.put((make_transfer(phase=phase),))
    page.view.setFocus()
    qtbot.keyClick(page.view, key)
    assert wishes.seen == seen


def test_copy_and_paste_in_the_list(page: DownloadsPage, store: Store, qtbot, make_transfer) -> None:
    store.put((make_transfer(),))
    page.view.setFocus()
    qtbot.keySequence(page.view, QKeySequence(QKeySequence.StandardKey.Copy))
    assert QGuiApplication.clipboard().text() == "llama3.2:3b"

    QGuiApplication.clipboard().setText("qwen3:8b gemma3:4b")
    qtbot.keySequence(page.view, QKeySequence(QKeySequence.StandardKey.Paste))
    assert page.pull_box.field.text() == "qwen3:8b gemma3:4b"
    assert page.pull_box.field.hasFocus()


def test_the_pane_follows_the_selection_and_the_selected_row(
    page: DownloadsPage, store: Store, qtbot, make_transfer
) -> None:
    store.put((make_transfer("a:1b", permille=1), make_transfer("b:1b", permille=2)))
    page.show_transfer("b:1b")
    assert page.detail.model == "b:1b"

    store.put((make_transfer("b:1b", permille=900),))
    qtbot.waitUntil(lambda: page.detail.findChild(QProgressBar).value() == 900)
    assert page.detail.model == "b:1b"

    store.put(())
    qtbot.waitUntil(lambda: not page.detail.isVisible())


def test_finished_downloads_are_dismissed_together(
    page: DownloadsPage, store: Store, qtbot, make_transfer, wishes: Wishes
) -> None:
    button = page.findChild(QPushButton, "dismiss-finished-button")
    store.put((make_transfer("a:1b"), make_transfer("b:1b", Phase.FAILED)))
    assert not button.isVisible()
    store.put(
        (make_transfer("a:1b", Phase.DONE), make_transfer("b:1b", Phase.FAILED), make_transfer("c:1b", Phase.DONE))
    )
    qtbot.waitUntil(button.isVisible)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert wishes.seen == [("dismiss", "a:1b"), ("dismiss", "c:1b")]


def test_a_failure_says_why_and_what_to_do(page: DownloadsPage, store: Store, make_transfer) -> None:
    store.put((make_transfer(phase=Phase.FAILED, error="There is no such model.", hint="Check the spelling."),))
    words = {label.text() for label in page.detail.findChildren(QLabel) if label.isVisible()}
    assert {"Failed: There is no such model.", "Check the spelling."} <= words
    assert all(label.textFormat() is Qt.TextFormat.PlainText for label in page.findChildren(QLabel))


def test_without_a_server_the_way_to_it_is_shown(
    page: DownloadsPage, store: Store, qtbot, make_status, wishes: Wishes
) -> None:
    button = page.findChild(QPushButton, "downloads-to-server-button")
    assert not button.isVisible()
    store.put(make_status(ServerState.STOPPED, None))
    assert button.isVisible()
    assert "Stopped – downloads need a server that runs." in {label.text() for label in page.findChildren(QLabel)}
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert wishes.seen == [("page", "server")]
    store.put(make_status())
    assert not button.isVisible()


def test_the_technical_words_of_a_failure_are_there(page: DownloadsPage, store: Store, make_transfer) -> None:
    detail = page.detail.findChild(QLabel, "transfer-detail-words")
    store.put((make_transfer(phase=Phase.FAILED, error="It broke off.", detail="Error: max retries\nexceeded: EOF"),))
    assert detail.isVisible()
    assert detail.text() == "Error: max retries exceeded: EOF"


def test_rows_are_painted_only_while_somebody_looks(page: DownloadsPage, store: Store, make_transfer) -> None:
    page.hide()
    store.put((make_transfer(permille=5),))
    assert page.table_model.rowCount() == 0
    page.show()
    assert page.table_model.rowCount() == 1


def test_a_thousand_publications_are_few_changes(page: DownloadsPage, store: Store, qtbot, make_transfer) -> None:
    store.put(tuple(make_transfer(f"m{i}:1b", permille=0) for i in range(3)))
    changes: list[int] = []
    page.table_model.dataChanged.connect(lambda top, bottom: changes.append(top.row()))
    for permille in range(1, 1000):
        store.put((store.transfers[0], make_transfer("m1:1b", permille=permille), store.transfers[2]))
    qtbot.waitUntil(lambda: page.table_model.transfer_at(page.table_model.index(1)).permille == 999)
    assert set(changes) == {1}
    assert len(changes) < 100


@pytest.mark.parametrize("width", [520, 760, 1040])
@pytest.mark.parametrize("phase", [Phase.PULLING, Phase.DONE, Phase.FAILED], ids=lambda phase: phase.value)
def test_nothing_is_cut_off_sideways(
    page: DownloadsPage, store: Store, qtbot, make_transfer, width: int, phase: Phase
) -> None:
    long = "Datenverarbeitungsschnittstellenverwaltungsdienst " * 3
    store.put((make_transfer("hf.co/someone/" + "long-" * 15 + "name:Q4_K_M", phase, error=long, hint=long),))
    page.resize(width - 56, 520)

    def inside() -> bool:
        seen = [button for button in page.findChildren(QPushButton) if button.isVisible()]
        return all(button.mapTo(page, QPoint(button.width(), 0)).x() <= page.width() for button in seen)

    qtbot.waitUntil(inside)


def test_the_focus_stays_where_the_deed_turns_round(page: DownloadsPage, store: Store, make_transfer, qtbot) -> None:
    """Who pauses by Space and presses it again resumes, and does not cancel."""
    store.put((make_transfer("a:1b"),))
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow)
    pause = page.findChild(QPushButton, "pause-button")
    pause.setFocus()

    store.put((make_transfer("a:1b", Phase.PAUSED),))
    qtbot.waitUntil(lambda: not pause.isVisible())

    assert page.focusWidget() is page.findChild(QPushButton, "resume-button")
    store.put((make_transfer("a:1b"),))
    qtbot.waitUntil(pause.isVisible)
    assert page.focusWidget() is pause
