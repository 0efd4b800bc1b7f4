"""The event loop of the window: asyncio on top of Qt's.

This is the only module that knows qasync. :func:`make_loop` returns a ``qasync.QEventLoop`` whose way of calling back
is replaced; what qasync is good at stays (running Qt's loop for asyncio, the proactor on Windows). What is cured, all
of it seen on qasync 0.28.0 with PySide6 6.8 to 6.12:

- Timers fired up to 5 % early (Qt's coarse timers, one per ``call_later``); a cancelled one lived until its time, and
  Windows allows 10,000 (``Timeout(60)`` on each read of a stream is enough). Now asyncio's own heap of ``TimerHandle``
  stands behind one precise QTimer, and no timer is early.
- A Qt loop nested in a coroutine (``dialog.exec()``) lost the wake-ups of all other tasks for ever. Now nothing of
  asyncio runs while a task is inside a step, and all of it goes on afterwards.
- Steps still queued when the loop stopped were run outside of it, which hangs the exit on Python 3.14. Now they wait
  for the next run.
- Python 3.15 hands ``context`` to ``_add_reader``; qasync does not take it.
- ``call_soon_threadsafe`` dropped ``context`` and returned nothing; ``call_later`` returned a handle without
  ``when()``; asynchronous generators were never closed; SIGINT waited until some other Python code ran;
  KeyboardInterrupt and SystemExit were printed by Qt's bindings instead of ending the run.
- The default executor started ten threads and was joined at exit; now a blocking call gets a daemon thread.

What may still not be done: ``exec()`` on anything but the application, qasync's ``asyncSlot`` and ``asyncClose``,
``processEvents()``.

Private attributes we lean on, and why: there is no public way to give asyncio another source of wake-ups.

==============================================  ======================================================================
``BaseEventLoop._ready``, ``_scheduled``,       the queue, the heap of timers and how many of those are cancelled: kept
``_timer_cancelled_count``                      so that ``call_soon``, ``call_at``… of the base class can be used as is
``BaseEventLoop._call_soon``,                   where the base class queues a handle and where it rings the selector:
``_add_callback``, ``_write_to_self``           we ring Qt instead
``BaseEventLoop._timer_handle_cancelled``       called by ``TimerHandle.cancel``
``BaseSelectorEventLoop._add_reader`` (…)       how transports watch a descriptor
``BaseEventLoop._thread_id``, ``_asyncgen_…``,  what ``run_forever`` of the base class sets up, and qasync's does not
``_set_coroutine_origin_tracking``, ``_csock``
``Handle._run``, ``_cancelled``,                as ``BaseEventLoop._run_once`` uses them
``TimerHandle._scheduled``, ``_when``
==============================================  ======================================================================

All of them are the same in CPython 3.11 to 3.15 (``Lib/asyncio/base_events.py``, ``selector_events.py``).
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import heapq
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QSocketNotifier, Qt, QTimer

from launcher.tasks import DaemonThreads

# qasync obeys QT_API rather than the binding that is loaded, and fails where a person's own value names another one. It
# reads it once, at its import; the person's value is then given back, so that no child inherits ours.
_persons_qt_api = os.environ.get("QT_API")
os.environ["QT_API"] = "pyside6"
try:
    import qasync  # type: ignore[import-untyped] # qasync 0.28 ships no types
finally:
    if _persons_qt_api is None:
        del os.environ["QT_API"]
    else:
        os.environ["QT_API"] = _persons_qt_api

_log = logging.getLogger(__name__)

# How long one turn may run callbacks before Qt gets to paint and to take input.
_TURN_BUDGET_S = 0.004
# How often we look whether the coroutine that nests a Qt loop has come back.
_RETRY_MS = 10
# A QTimer counts milliseconds in 32 bits: 24 days. asyncio itself sleeps a day at most (MAXIMUM_SELECT_TIMEOUT).
_LONGEST_TIMER_MS = 24 * 3600 * 1000
# As asyncio does: the heap is swept when more than half of it, and at least 100, are cancelled.
_FEWEST_CANCELLED = 100
# Where signals cannot wake Qt, how often Python gets to run and sees them.
_SIGNAL_POLL_MS = 200

_WAKE = QEvent.Type(QEvent.registerEventType())


def make_loop(app: QCoreApplication) -> asyncio.AbstractEventLoop:
    """Make an asyncio loop that runs ``app``; give it to ``asyncio.Runner(loop_factory=…)``, which closes it."""
    return _Loop(app)


class _Pump(QObject):
    """Receive what Qt has for the loop: the posted wake-up, the due timer, the retry."""

    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._loop = loop
        self.timer = QTimer(self)
        self.timer.setSingleShot(True)
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self._due)
        self.retry = QTimer(self)
        self.retry.setSingleShot(True)
        self.retry.setInterval(_RETRY_MS)
        self.retry.timeout.connect(self._try_again)

    def event(self, event: QEvent) -> bool:
        if event.type() == _WAKE:
            self._loop._guarded(self._loop._woken)
            return True
        return super().event(event)

    def _due(self) -> None:
        self._loop._guarded(self._loop._timer_fired)

    def _try_again(self) -> None:
        self._loop._guarded(self._loop._resume)


class _Watch(QSocketNotifier):
    """One descriptor that is watched for reading or for writing.

    ``event`` is overridden rather than the signal connected: the signal's overloads differ between Qt versions. The
    pump is the parent, so that a watch is only ever deleted by Qt, never inside its own ``event``.
    """

    def __init__(
        self, loop: _Loop, fd: int, kind: QSocketNotifier.Type, parent: QObject, handle: asyncio.Handle
    ) -> None:
        super().__init__(fd, kind, parent)
        self._loop = loop
        self.handle = handle
        self.is_busy = False

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.SockAct:
            self._loop._guarded(self._loop._descriptor_ready, self)
            return True
        return super().event(event)


class _PolledSignals:
    """Signal handlers for where a signal cannot wake Qt (Windows): a timer lets Python run and see them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, parent: QObject) -> None:
        self._loop = loop
        self._previous: dict[int, Any] = {}
        self._poll = QTimer(parent)
        self._poll.setInterval(_SIGNAL_POLL_MS)
        self._poll.timeout.connect(_let_python_run)

    def add(self, sig: int, callback: Callable[..., object], *args: object) -> None:
        def arrived(_signum: int, _frame: object) -> None:
            self._loop.call_soon_threadsafe(callback, *args)

        try:
            previous = signal.signal(sig, arrived)
        except ValueError as error:  # not the main thread
            raise RuntimeError(str(error)) from error
        self._previous.setdefault(sig, previous)
        self._poll.start()

    def remove(self, sig: int) -> bool:
        if sig not in self._previous:
            return False
        signal.signal(sig, self._previous.pop(sig))
        if not self._previous:
            self._poll.stop()
        return True

    def close(self) -> None:
        for sig in list(self._previous):
            self.remove(sig)


class _Loop(qasync.QEventLoop):  # type: ignore[misc] # qasync is untyped, so its class is Any
    """qasync's loop with asyncio's own queue and timers; see the module for what that cures."""

    _ready: collections.deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int
    _thread_id: int | None
    _current_handle: asyncio.Handle | None

    def __init__(self, app: QCoreApplication) -> None:
        self._pump = _Pump(self)
        self._posted = False
        self._armed_for_s: float | None = None
        self._readers: dict[int, _Watch] = {}
        self._writers: dict[int, _Watch] = {}
        self._held: set[_Watch] = set()
        self._escaped: BaseException | None = None
        if sys.platform == "win32":
            self._signals = _PolledSignals(self, self._pump)
        super().__init__(app)  # makes the self-pipe, hence a reader

    # Running and stopping

    # qasync's ends with a processEvents(), which runs queued steps outside of the loop.
    run_until_complete = asyncio.BaseEventLoop.run_until_complete

    def run_forever(self) -> None:
        """Run until :meth:`stop`; raise what left a callback as KeyboardInterrupt or SystemExit."""
        self._check_closed()
        if self.is_running() or self._thread_id is not None:
            raise RuntimeError("This event loop is already running")
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")
        hooks = sys.get_asyncgen_hooks()
        self._thread_id = threading.get_ident()
        self._set_coroutine_origin_tracking(self._debug)
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook)
        wakeup_fd = self._listen_for_signals()
        self._release_held()
        self._arm()
        self._wake()
        try:
            super().run_forever()
        finally:
            self._stop_listening_for_signals(wakeup_fd)
            sys.set_asyncgen_hooks(*hooks)
            self._set_coroutine_origin_tracking(False)
            self._thread_id = None
            escaped, self._escaped = self._escaped, None
        if escaped is not None:
            raise escaped

    def close(self) -> None:
        if self.is_running() or self._thread_id is not None:
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        self._pump.timer.stop()
        self._pump.retry.stop()
        if sys.platform == "win32":
            self._signals.close()
        super().close()  # removes the self-pipe's reader
        for watches in (self._readers, self._writers):
            for fd in list(watches):
                self._unwatch(watches, fd)

    # Calling back

    call_soon = asyncio.BaseEventLoop.call_soon
    call_soon_threadsafe = asyncio.BaseEventLoop.call_soon_threadsafe
    call_later = asyncio.BaseEventLoop.call_later

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.BaseEventLoop.call_at(self, when, callback, *args, context=context)
        if self._scheduled[0] is timer:
            self._arm()
        return timer

    def _call_soon(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if handle._source_traceback:  # type: ignore[attr-defined] # of debug mode, not in typeshed
            del handle._source_traceback[-1]  # type: ignore[attr-defined] # as above
        self._ready.append(handle)
        self._wake()
        return handle

    def _add_callback(self, handle: asyncio.Handle) -> None:
        if not handle.cancelled():
            self._ready.append(handle)
            self._wake()

    def _write_to_self(self) -> None:
        self._wake()

    def _wake(self) -> None:
        """Make sure that a turn follows. May be called from any thread, and from a signal handler.

        Whoever queues does so before looking at ``_posted``, and :meth:`_woken` clears it before looking at the queue:
        nothing queued is overlooked.
        """
        if not self._posted:
            self._posted = True
            QCoreApplication.postEvent(self._pump, QEvent(_WAKE))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        asyncio.BaseEventLoop._timer_handle_cancelled(self, handle)  # type: ignore[attr-defined] # private
        if self._timer_cancelled_count > max(_FEWEST_CANCELLED, len(self._scheduled) // 2):
            for timer in self._scheduled:
                if timer.cancelled():
                    timer._scheduled = False  # type: ignore[attr-defined] # private
            self._scheduled = [timer for timer in self._scheduled if not timer.cancelled()]
            heapq.heapify(self._scheduled)
            self._timer_cancelled_count = 0

    def _arm(self) -> None:
        """Set the QTimer to the first timer of the heap."""
        while self._scheduled and self._scheduled[0].cancelled():
            self._pop_timer()
            self._timer_cancelled_count -= 1
        if not self._scheduled:
            if self._armed_for_s is not None:
                self._armed_for_s = None
                self._pump.timer.stop()
            return
        when_s = self._scheduled[0].when()
        if when_s != self._armed_for_s:
            self._armed_for_s = when_s
            self._pump.timer.start(max(0, min(math.ceil((when_s - self.time()) * 1000), _LONGEST_TIMER_MS)))

    def _pop_timer(self) -> asyncio.TimerHandle:
        timer = heapq.heappop(self._scheduled)
        timer._scheduled = False  # type: ignore[attr-defined] # private; says that the heap has it
        return timer

    # Turns, called by Qt

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        """Carry KeyboardInterrupt and SystemExit past Qt to the caller of ``run_forever``; Qt would print them."""
        try:
            work(*args)
        except (KeyboardInterrupt, SystemExit) as error:
            self._escaped = error
            self.stop()

    def _may_run(self) -> bool:
        # A current task means that its step has nested a Qt loop: asyncio can step no other task inside of it.
        return self.is_running() and asyncio.current_task(self) is None

    def _woken(self) -> None:
        self._posted = False
        self._turn()

    def _timer_fired(self) -> None:
        self._armed_for_s = None
        self._turn()

    def _resume(self) -> None:
        if self._may_run():
            self._release_held()
            self._turn()
        elif self.is_running():
            self._pump.retry.start()

    def _turn(self) -> None:
        """Run what is due and what is queued; what is queued meanwhile has its turn after Qt's events."""
        if not self._may_run():
            self._postpone()
            return
        now_s = self.time()
        while self._scheduled and self._scheduled[0].when() <= now_s:
            timer = self._pop_timer()
            if timer.cancelled():
                self._timer_cancelled_count -= 1
            else:
                self._ready.append(timer)
        self._arm()  # before running anything: a callback may nest a Qt loop, in which timers go on
        for _ in range(len(self._ready)):
            if not self._ready:  # a nested loop has run them
                break
            handle = self._ready.popleft()
            if self._ready:
                self._wake()  # a nested loop goes on with the rest
            self._run_handle(handle)
            if not self.is_running() or self.time() > now_s + _TURN_BUDGET_S:
                break
        if self._ready:
            self._wake()

    def _postpone(self) -> None:
        # Stopped: what is queued waits for the next run_forever(), which wakes us.
        if self.is_running() and not self._pump.retry.isActive():
            self._pump.retry.start()

    def _run_handle(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        if not self._debug:
            handle._run()
            return
        self._current_handle = handle
        begin_s = self.time()
        try:
            handle._run()
        finally:
            self._current_handle = None
        took_s = self.time() - begin_s
        if took_s >= self.slow_callback_duration:
            _log.warning("Executing %s took %.3f seconds", _describe(handle), took_s)

    # Descriptors

    def _add_reader(
        self, fd: Any, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        return self._watch(self._readers, fd, QSocketNotifier.Type.Read, handle)

    def _add_writer(
        self, fd: Any, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        return self._watch(self._writers, fd, QSocketNotifier.Type.Write, handle)

    def _remove_reader(self, fd: Any) -> bool:
        return self._unwatch(self._readers, fd)

    def _remove_writer(self, fd: Any) -> bool:
        return self._unwatch(self._writers, fd)

    def _watch(
        self, watches: dict[int, _Watch], fd: Any, kind: QSocketNotifier.Type, handle: asyncio.Handle
    ) -> asyncio.Handle:
        self._check_closed()
        number = _descriptor(fd)
        watch = watches.get(number)
        if watch is None:
            watches[number] = _Watch(self, number, kind, self._pump, handle)
        else:
            watch.handle.cancel()
            watch.handle = handle
        return handle

    def _unwatch(self, watches: dict[int, _Watch], fd: Any) -> bool:
        try:
            watch = watches.pop(_descriptor(fd), None)
        except ValueError:  # a closed file: whatever watched it is gone
            return False
        if watch is None:
            return False
        watch.handle.cancel()
        watch.setEnabled(False)
        self._held.discard(watch)
        watch.deleteLater()
        return True

    def _descriptor_ready(self, watch: _Watch) -> None:
        if watch.is_busy or not self._may_run():
            # The descriptor stays ready, and Qt would tell us so without end.
            watch.setEnabled(False)
            self._held.add(watch)
            self._postpone()
            return
        watch.is_busy = True
        try:
            self._run_handle(watch.handle)
        finally:
            watch.is_busy = False

    def _release_held(self) -> None:
        while self._held:
            self._held.pop().setEnabled(True)

    # Signals

    if sys.platform == "win32":

        def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:
            self._check_closed()
            self._signals.add(sig, callback, *args)

        def remove_signal_handler(self, sig: int) -> bool:
            return self._signals.remove(sig)

        def _listen_for_signals(self) -> int | None:
            return None

        def _stop_listening_for_signals(self, wakeup_fd: int | None) -> None:
            pass

    else:

        def remove_signal_handler(self, sig: int) -> bool:
            removed = bool(super().remove_signal_handler(sig))
            if self._thread_id is not None:
                self._listen_for_signals()  # asyncio gives up the descriptor with its last handler
            return removed

        def _listen_for_signals(self) -> int | None:
            """Let each signal write to the self-pipe, so that Python runs and sees those it handles by itself."""
            try:
                return signal.set_wakeup_fd(self._csock.fileno())
            except ValueError:  # not the main thread, which alone gets signals
                return None

        def _stop_listening_for_signals(self, wakeup_fd: int | None) -> None:
            if wakeup_fd is not None and not self._signal_handlers:
                signal.set_wakeup_fd(wakeup_fd)

    # Threads

    # qasync's takes any executor and joins it for ever; asyncio's is what shutdown_default_executor() knows.
    set_default_executor = asyncio.BaseEventLoop.set_default_executor

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Run ``func`` on ``executor``; without one, on a daemon thread that nobody waits for at exit.

        asyncio itself uses the default for name look-ups, which may take half a minute where the network is down.
        """
        self._check_closed()
        chosen = executor or self._default_executor or DaemonThreads()
        return asyncio.wrap_future(chosen.submit(func, *args), loop=self)


def _descriptor(fd: Any) -> int:
    if not isinstance(fd, int):
        try:
            fd = int(fd.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fd!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return int(fd)


def _describe(handle: asyncio.Handle) -> str:
    owner = getattr(getattr(handle, "_callback", None), "__self__", None)
    return repr(owner if isinstance(owner, asyncio.Task) else handle)


def _let_python_run() -> None:
    """Do nothing: Python looks at its signals before the next instruction."""
