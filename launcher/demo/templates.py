"""What ``text/template`` of Go says about a template that it cannot parse. Runs no template."""

from __future__ import annotations

import re

_ACTION = re.compile(r"\{\{-?\s*(/\*.*?\*/|.*?)\s*-?\}\}", re.DOTALL)
_WITH_VALUE = ("if", "range", "with")
_OPENING = ("if", "range", "with", "define", "block")


def template_fault(text: str) -> str | None:
    """Find what the parser stops at, as ``:1: unclosed action``; None when there is nothing (parse.go, Go 1.24)."""
    depth = 0
    at = 0
    while (begin := text.find("{{", at)) >= 0:
        found = _ACTION.match(text, begin)
        line = text.count("\n", 0, begin) + 1
        if found is None:
            return f":{line}: unclosed action"
        action = found[1].strip()
        word, _, rest = action.partition(" ")
        if not action or (word in _WITH_VALUE and not rest):
            return f":{line}: missing value for {word or 'command'}"
        if word in _OPENING:
            depth += 1
        elif word == "end" and depth == 0:
            return f":{line}: unexpected {{{{end}}}}"
        elif word == "end":
            depth -= 1
        elif word == "else" and depth == 0:
            return f":{line}: unexpected {{{{else}}}}"
        at = found.end()
    if depth:
        return f":{text.count(chr(10)) + 1}: unexpected EOF"
    return None
