"""The card of the models in memory: where each lies, how long it stays, and the way to let it go."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtWidgets import QPushButton, QWidget

from launcher.domain.models import InstalledModel, LoadedModel, Models
from launcher.domain.server import ANSWERING, ServerStatus
from launcher.ui.models_table import Work, work_words
from launcher.ui.phrases import SEPARATOR, told
from launcher.ui.theme import TextKind, Theme
from launcher.ui.units import count_text, duration_text, size_text
from launcher.ui.widgets.bar_row import BarRow
from launcher.ui.widgets.breakable import breakable
from launcher.ui.widgets.card import Card, kind_label
from launcher.ui.widgets.empty_state import EmptyState
from launcher.ui.widgets.split_bar import SplitBar

_FOR_EVER_S = 365 * 86_400.0
"""``keep_alive: -1`` is told as a date centuries away."""


def _tr(text: str) -> str:
    return QCoreApplication.translate("loaded-models", text)


def stay_words(model: LoadedModel, now_s: float) -> str:
    """``leaves in 4 min 12 s``; ``now_s`` is seconds since the epoch."""
    if model.expires_at is None:
        return _tr("stays loaded")
    left_s = model.expires_at.timestamp() - now_s
    if left_s > _FOR_EVER_S:
        return _tr("stays loaded")
    if left_s <= 0:
        return _tr("leaves when it is idle")
    return _tr("leaves in {duration}").format(duration=duration_text(left_s))


def place_words(model: LoadedModel) -> str:
    """``4.1 GB GPU + 1.3 GB memory · context 4,096``."""
    on_gpu_bytes = min(model.size_vram_bytes, model.size_bytes)
    in_memory_bytes = model.size_bytes - on_gpu_bytes
    if not model.size_bytes:
        place = ""
    elif not in_memory_bytes:
        place = _tr("{size} on the GPU").format(size=size_text(on_gpu_bytes))
    elif not on_gpu_bytes:
        place = _tr("{size} in memory, on the processor alone").format(size=size_text(in_memory_bytes))
    else:
        place = _tr("{gpu} GPU + {memory} memory").format(
            gpu=size_text(on_gpu_bytes), memory=size_text(in_memory_bytes)
        )
    context = ""
    if model.context_length is not None:
        context = _tr("context {count}").format(count=count_text(model.context_length))
    return SEPARATOR.join(filter(None, (place, context)))


class _Row(BarRow):
    """One loaded model."""

    def __init__(self, theme: Theme, name: str) -> None:
        self._bar = SplitBar(theme)
        super().__init__(name, self._bar, _tr("Unload"))
        self._model: LoadedModel | None = None
        self.link.setObjectName("unload-button")
        self.link.setAccessibleName(self.tr("Unload {model}").format(model=name))

    def show_work(self, work: Work | None) -> None:
        """Say what is being done to it; it cannot be let go meanwhile."""
        self.link.setText(work_words(work) if work is not None else _tr("Unload"))
        self.link.setEnabled(work is None)

    def show_model(self, model: LoadedModel, installed: InstalledModel | None, now_s: float) -> None:
        self._model = model
        kind = (installed.parameter_size, installed.quantization) if installed is not None else ()
        self.words.setText(SEPARATOR.join(filter(None, kind)))
        words = place_words(model)
        self.show_foot(words)
        part = min(model.size_vram_bytes / model.size_bytes, 1.0) if model.size_bytes else 0.0
        self._bar.show_split(part, words)
        self._bar.setVisible(bool(model.size_bytes))
        self.show_time(now_s)

    @property
    def ticking(self) -> bool:
        return self._model is not None and self._model.expires_at is not None

    def show_time(self, now_s: float) -> None:
        if self._model is not None:
            self.show_remark(stay_words(self._model, now_s))


class LoadedModelsCard(Card):
    """``now_s`` is seconds since the epoch."""

    load_requested = Signal(tuple)
    """The name of the default model, as the only one."""
    unload_requested = Signal(str)
    page_requested = Signal(str)

    def __init__(self, theme: Theme, now_s: Callable[[], float], parent: QWidget | None = None) -> None:
        super().__init__(QCoreApplication.translate("loaded-models", "Loaded models"), parent)
        self.setObjectName("loaded-models-card")
        self._theme = theme
        self._now_s = now_s
        self._rows: dict[str, _Row] = {}
        self._default = ""
        self._works: dict[str, Work] = {}
        self._unload_all = QPushButton(self.tr("Unload all"))
        self._unload_all.setObjectName("unload-all-button")
        self._unload_all.setAccessibleName(self._unload_all.text())
        self._unload_all.setProperty("kind", "link")
        self._unload_all.setCursor(Qt.CursorShape.PointingHandCursor)
        self._unload_all.clicked.connect(self._on_unload_all_clicked)
        self.add_action(self._unload_all)
        self._empty = EmptyState("")
        self._download = self._empty.add_button(
            self.tr("Download a model"), "download-first-model-button", primary=True
        )
        self._download.clicked.connect(lambda: self.page_requested.emit("downloads"))
        self._load = self._empty.add_button(self.tr("Load the default model"), "load-default-button", primary=True)
        self._load.clicked.connect(lambda: self.load_requested.emit((self._default,)))
        self._choose = self._empty.add_button(self.tr("Show my models"), "show-models-button")
        self._choose.clicked.connect(lambda: self.page_requested.emit("models"))
        self.body.addWidget(self._empty)
        self._off = kind_label(self.tr("Models are loaded once Ollama runs and a program uses them."), TextKind.BODY)
        self._off.setProperty("kind", "second")
        self._off.setWordWrap(True)
        self.body.addWidget(self._off)

    @property
    def ticking(self) -> bool:
        """True while a time left is shown."""
        return any(row.ticking for row in self._rows.values())

    def show_work(self, name: str, work: Work | None) -> None:
        """Say what is being done to a model; None: nothing any more."""
        if work is None:
            self._works.pop(name, None)
        else:
            self._works[name] = work

    def show_models(self, status: ServerStatus | None, models: Models | None, default: str = "") -> bool:
        """Tell whether rows have come. ``default`` is the model that a person has chosen; empty: none."""
        self._default = default
        answering = status is not None and status.state in ANSWERING
        loaded = (models.loaded or ()) if answering and models is not None else ()
        installed = {each.name: each for each in (models.installed or ())} if models is not None else {}
        names = [model.name for model in loaded]
        for name in [name for name in self._rows if name not in names]:
            row = self._rows.pop(name)
            self.body.removeWidget(row)
            row.hide()
            row.deleteLater()
        come = False
        for place, model in enumerate(loaded):
            if model.name not in self._rows:
                row = self._rows[model.name] = _Row(self._theme, model.name)
                row.clicked.connect(lambda name=model.name: self.unload_requested.emit(name))
                self.body.insertWidget(place, row)
                row.show()
                come = True
            self._rows[model.name].show_model(model, installed.get(model.name), self._now_s())
            self._rows[model.name].show_work(self._works.get(model.name))
        self._unload_all.setVisible(len(loaded) > 1)
        self._off.setVisible(not answering)
        self._empty.setVisible(answering and not loaded)
        if answering and not loaded:
            self._show_empty(models)
        return come

    def show_time(self) -> None:
        """Bring the times left up to now."""
        now_s = self._now_s()
        for row in self._rows.values():
            row.show_time(now_s)

    def _show_empty(self, models: Models | None) -> None:
        unknown = models is None or models.loaded is None
        nothing_installed = models is not None and models.installed == ()
        loading = next((name for name, work in self._works.items() if work is Work.LOADING), "")
        installed = {each.name for each in (models.installed or ())} if models is not None else set()
        self._load.setVisible(not unknown and not loading and self._default in installed)
        words = self.tr("Load {model}").format(model=self._default)
        self._load.setText(words)
        self._load.setAccessibleName(words)
        self._download.setVisible(nothing_installed)
        self._choose.setVisible(not nothing_installed and not unknown)
        if nothing_installed:
            self._empty.show_text(
                self.tr("No model is installed yet"),
                self.tr("Download a small one to begin with. It stays on this computer."),
            )
        elif loading:
            self._empty.show_text(
                self.tr("Loading {model}…").format(model=breakable(loading)),
                self.tr("A big model takes a while."),
            )
        elif unknown and models is not None and models.problem:
            self._empty.show_text(self.tr("What is loaded could not be read"), told(models.problem))
        elif unknown:
            self._empty.show_text(self.tr("Looking what is loaded…"))
        else:
            self._empty.show_text(
                self.tr("No model is loaded"),
                self.tr("A model is loaded when a program uses it, and leaves when it has been idle for a while."),
            )

    def _on_unload_all_clicked(self) -> None:
        for name in list(self._rows):
            self.unload_requested.emit(name)
