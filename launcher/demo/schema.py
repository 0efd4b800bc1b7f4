"""A value that fits a JSON schema, made of what a message holds: its numbers, what it quotes, what it names.

Enough of JSON Schema for what programs ask models for; patterns and conditions are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_DEEPEST = 6
_FORMATS = {
    "date": "2026-01-01",
    "time": "12:00:00Z",
    "date-time": "2026-01-01T12:00:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class Material:
    """What a message gives away, each thing once and in its order."""

    def __init__(self, text: str) -> None:
        self._numbers = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)", text)
        quoted = [single or double for single, double in re.findall(r"'([^']+)'|\"([^\"]+)\"", text)]
        names = re.findall(r"(?<![.!?\"']\s)(?<!^)\b[A-Z]\w+", text)
        self._texts = quoted or names

    def number(self) -> float:
        return float(self._numbers.pop(0)) if self._numbers else 1.0

    def text(self) -> str:
        return self._texts.pop(0) if self._texts else "simulated"


def example(schema: Mapping[str, Any], material: Material) -> Any:
    """Make a value that fits."""
    return _Maker(schema, material).make(schema, 0)


class _Maker:
    def __init__(self, root: Mapping[str, Any], material: Material) -> None:
        self._root = root
        self._material = material

    def make(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return self._material.text()
        for known in ("const", "default"):
            if known in schema:
                return schema[known]
        if schema.get("enum"):
            return schema["enum"][0]
        for choice in ("anyOf", "oneOf"):
            if schema.get(choice):
                return self.make(schema[choice][0], depth + 1)
        if schema.get("allOf"):
            merged: dict[str, Any] = {}
            for one in schema["allOf"]:
                merged |= self._resolved(one)
            return self.make(merged, depth + 1)
        if "$ref" in schema:
            return None if depth > _DEEPEST else self.make(self._resolved(schema), depth + 1)
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) and kind else kind
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        if kind == "array":
            count = max(int(schema.get("minItems") or 0), 0 if depth > _DEEPEST else 1)
            return [self.make(schema.get("items") or {}, depth + 1) for _ in range(count)]
        if kind in ("integer", "number"):
            return self._number(schema, kind)
        return {"boolean": True, "null": None}.get(kind, "") if kind in ("boolean", "null") else self._text(schema)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Any = schema
        reference = str(schema.get("$ref") or "")
        if reference.startswith("#"):
            found = self._root
            for part in reference.lstrip("#/").split("/"):
                found = found.get(part, {}) if isinstance(found, Mapping) and part else found
        return found if isinstance(found, Mapping) else {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        wanted = [name for name in properties if depth <= _DEEPEST or name in required]
        return {name: self.make(properties[name], depth + 1) for name in wanted}

    def _number(self, schema: Mapping[str, Any], kind: str) -> float:
        value = self._material.number()
        lowest, highest = schema.get("minimum"), schema.get("maximum")
        value = value if lowest is None else max(value, lowest)
        value = value if highest is None else min(value, highest)
        return int(value) if kind == "integer" or value == int(value) else value

    def _text(self, schema: Mapping[str, Any]) -> str:
        text = _FORMATS.get(str(schema.get("format"))) or self._material.text()
        shortest, longest = int(schema.get("minLength") or 0), schema.get("maxLength")
        text = text.ljust(shortest, ".")
        return text if longest is None else text[: int(longest)]
