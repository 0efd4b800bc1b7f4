"""``completion``: the script that lets a shell complete our commands, and the names of models that it asks for.

click does the parsing and the protocol: the shell runs us with what was typed in its variables, and reads values. bash
is served otherwise than by click, whose script takes a name apart at its colon, and nearly every model has one. Asking
the server is bounded: who presses Tab waits for nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

import click
from click.shell_completion import (
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from launcher.cli import output
from launcher.domain.names import ModelName
from launcher.environment import COMPLETION_VARIABLE
from launcher.errors import InvalidInput, LauncherError

if TYPE_CHECKING:
    from launcher.ollama import Client

Ask = Callable[["Client"], Awaitable[Iterable[str]]]

ANSWERED_WITHIN_S = 0.5
_SHELLS = ("bash", "zsh", "fish", "powershell")
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' completion
    COMPREPLY=()
    for completion in $(env COMP_WORDS="${COMP_LINE:0:$COMP_POINT}" COMP_BREAKS="$COMP_WORDBREAKS" \\
            %(complete_var)s=bash_complete "$1" 2>/dev/null); do
        case "$completion" in
            plain,*) COMPREPLY+=("${completion#plain,}") ;;
            dir,*) compopt -o dirnames 2>/dev/null ;;
            file,*) compopt -o default 2>/dev/null ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""
_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($word, $typed, $cursor)
    $line = $typed.ToString()
    $end = $cursor - $typed.Extent.StartOffset
    $env:COMP_WORDS = $line.PadRight($end).Substring(0, $end)
    $env:%(complete_var)s = "powershell_complete"
    try {
        & %(prog_name)s 2>$null | ForEach-Object {
            $kind, $value = $_ -split ",", 2
            if ($kind -eq "plain") {
                [System.Management.Automation.CompletionResult]::new($value, $value, "ParameterValue", $value)
            }
        }
    } finally {
        Remove-Item Env:COMP_WORDS, Env:%(complete_var)s
    }
}
"""


_HELP = """Print the script that lets a shell complete commands, options and the names of models.

\b
bash:        eval "$(ollama-launcher completion bash)"       in ~/.bashrc
zsh:         eval "$(ollama-launcher completion zsh)"        in ~/.zshrc, after compinit
fish:        ollama-launcher completion fish > ~/.config/fish/completions/ollama-launcher.fish
PowerShell:  ollama-launcher completion powershell | Out-String | Invoke-Expression    in $PROFILE
"""


@click.command(short_help="Print the script that lets a shell complete.", help=_HELP)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    kinds: dict[str, type[ShellComplete]] = {
        "bash": _Bash,
        "zsh": ZshComplete,
        "fish": FishComplete,
        "powershell": _PowerShell,
    }
    root = context.find_root()
    served = kinds[shell](root.command, {}, root.info_name or "", COMPLETION_VARIABLE)
    output.say(served.source().rstrip("\n"))


def prepare() -> None:
    """Let click serve the shells in our way."""
    add_completion_class(_Bash)
    add_completion_class(_PowerShell)


class _WholeLine(ShellComplete):
    """For shells that hand over the line up to the cursor, which is taken apart here."""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_WORDS", "")
        words = split_arg_string(line)
        if not words or line[-1:].isspace():
            return words[1:], ""
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value}"


class _Bash(_WholeLine):
    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = _BASH

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value[self._kept() :]}"

    def _kept(self) -> int:
        """Tell how much of a value stays as it was typed: bash replaces only what follows the last break of a word."""
        line = os.environ.get("COMP_WORDS", "")
        typed = "" if not line or line[-1].isspace() else line.split()[-1]
        if ":" not in os.environ.get("COMP_BREAKS", "") or typed[:1] in ("'", '"'):
            return 0
        if typed.startswith("-"):
            typed = typed.partition("=")[2]
        return typed.rfind(":") + 1


class _PowerShell(_WholeLine):
    name: ClassVar[str] = "powershell"
    source_template: ClassVar[str] = _POWERSHELL


def installed(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of an installed model; nothing where the server does not answer at once."""
    return _completed(context, parameter, incomplete, _installed)


def loaded(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a model in memory."""
    return _completed(context, parameter, incomplete, _loaded)


async def _installed(client: Client) -> Iterable[str]:
    return [model.name for model in (await client.tags(timeout_s=ANSWERED_WITHIN_S)).models]


async def _loaded(client: Client) -> Iterable[str]:
    return [model.name for model in (await client.ps(timeout_s=ANSWERED_WITHIN_S)).models]


def _completed(context: click.Context, parameter: click.Parameter, incomplete: str, ask: Ask) -> list[CompletionItem]:
    given = context.params.get(parameter.name or "")
    there = set(given) if isinstance(given, tuple) else set()
    names = asyncio.run(_names(_host(context), ask))
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and name not in there]


async def _names(host: str | None, ask: Ask) -> list[str]:
    from launcher.core import open_client

    with suppress(LauncherError, TimeoutError):
        async with asyncio.timeout(ANSWERED_WITHIN_S), open_client(host, mend=False) as client:
            return [name for name in await ask(client) if _is_name(name)]
    return []


def _is_name(text: str) -> bool:
    """Whether it is the name of a model: a server that sends anything else gets nothing of it into a shell."""
    try:
        ModelName.parse_exact(text)
    except InvalidInput:
        return False
    return True


def _host(context: click.Context | None) -> str | None:
    while context is not None:
        if context.params.get("host"):
            return str(context.params["host"])
        context = context.parent
    return None
