"""What is said besides the answer: what was wrong with the settings, and with the address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launcher.cli import output
from launcher.errors import LauncherError

if TYPE_CHECKING:
    from launcher.domain.address import Address


def tell_notice(notice: LauncherError) -> None:
    """Say what was wrong with the settings, and go on."""
    output.remark(f"Note: {notice.title}" + (f" {notice.hint}" if notice.hint else ""))


def warn_of_address(address: Address) -> None:
    """Say what of the wished address the server will not do."""
    if address.warning:
        output.remark(f"Note: {address.warning}")
