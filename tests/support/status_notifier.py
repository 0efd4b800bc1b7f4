"""A stand-in for a desktop's panel on a private session bus: it takes status notifier items and says what they show.

Run under ``dbus-run-session``. It owns ``org.kde.StatusNotifierWatcher``; commands on stdin: ``get PROPERTY`` of the
item that was registered last, ``activate``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from PySide6.QtCore import QCoreApplication, QSocketNotifier
from PySide6.QtDBus import QDBusConnection, QDBusMessage, QDBusVariant, QDBusVirtualObject

_WATCHER = "org.kde.StatusNotifierWatcher"
_PATH = "/StatusNotifierWatcher"
_ITEM = "org.kde.StatusNotifierItem"
_MENU = "com.canonical.dbusmenu"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_INTROSPECTION = f"""
<interface name="{_WATCHER}">
  <method name="RegisterStatusNotifierItem"><arg type="s" direction="in"/></method>
  <method name="RegisterStatusNotifierHost"><arg type="s" direction="in"/></method>
  <property name="IsStatusNotifierHostRegistered" type="b" access="read"/>
  <property name="ProtocolVersion" type="i" access="read"/>
  <property name="RegisteredStatusNotifierItems" type="as" access="read"/>
  <signal name="StatusNotifierItemRegistered"><arg type="s"/></signal>
  <signal name="StatusNotifierHostRegistered"/>
</interface>
"""


class Watcher(QDBusVirtualObject):
    """Answers for the watcher's object path."""

    def __init__(self) -> None:
        super().__init__()
        self.item = ""

    def introspect(self, _path: str) -> str:
        return _INTROSPECTION

    def handleMessage(self, message: QDBusMessage, connection: QDBusConnection) -> bool:  # noqa: N802 - Qt's name
        arguments: list[Any] = message.arguments()
        match message.member():
            case "Get":
                values: dict[str, Any] = {"IsStatusNotifierHostRegistered": True, "ProtocolVersion": 0}
                answer = message.createReply([QDBusVariant(values.get(str(arguments[1]), []))])
            case "RegisterStatusNotifierItem":
                # Qt registers its bus name; who answers is the sender.
                self.item = message.service()
                answer = message.createReply()
                print("registered", self.item)
            case "RegisterStatusNotifierHost":
                answer = message.createReply()
            case _:
                return False
        return connection.send(answer)


def main() -> int:
    app = QCoreApplication(sys.argv[:1])
    bus = QDBusConnection.sessionBus()
    watcher = Watcher()
    assert bus.registerVirtualObject(_PATH, watcher)
    assert bus.registerService(_WATCHER)
    print("ready")
    pending = bytearray()

    def read() -> None:
        data = os.read(0, 4096)
        if not data:
            app.quit()
        pending.extend(data)
        while b"\n" in pending:
            line, _, rest = bytes(pending).partition(b"\n")
            pending[:] = rest
            _obey(line.decode().split(), bus, watcher.item)

    notifier = QSocketNotifier(0, QSocketNotifier.Type.Read)
    notifier.activated.connect(read)
    return app.exec()


def _obey(words: list[str], bus: QDBusConnection, item: str) -> None:
    def call(path: str, interface: str, member: str, *arguments: Any) -> Any:
        message = QDBusMessage.createMethodCall(item, path, interface, member)
        message.setArguments(list(arguments))
        answer = bus.call(message)
        if answer.type() is not QDBusMessage.MessageType.ReplyMessage:
            return f"error {answer.errorName()} {answer.errorMessage()}"
        return answer.arguments()

    match words:
        case ["get", name]:
            value = call("/StatusNotifierItem", _PROPERTIES, "Get", _ITEM, name)
            print("get", json.dumps(_plain(value)))
        case ["activate"]:
            print("activate", call("/StatusNotifierItem", _ITEM, "Activate", 10, 10))


def _plain(value: Any) -> Any:
    if isinstance(value, QDBusVariant):
        return _plain(value.variant())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


if __name__ == "__main__":
    sys.exit(main())
