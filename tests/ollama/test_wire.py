"""Answers of servers of all ages: members that are missing, null, unknown or odd."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import launcher.ollama.wire
from launcher.domain.address import Address
from launcher.ollama.errors import ProtocolBroken
from launcher.ollama.transport import translated
from launcher.ollama.wire.fields import Wire
from launcher.ollama.wire.inference import ChatAnswer
from launcher.ollama.wire.models import ModelDetails, ModelInfo, Running, RunningModel, ShownModel, Tags
from tests.support.replay import load


def kinds() -> list[type[Wire]]:
    """Find every type of every module of the package."""
    modules = pkgutil.iter_modules(launcher.ollama.wire.__path__, "launcher.ollama.wire.")
    return [
        kind
        for module in map(importlib.import_module, sorted(found.name for found in modules))
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, Wire) and kind.__module__ == module.__name__ and kind is not Wire
        if not kind.__name__.startswith("_")
    ]


KINDS = kinds()


def test_all_kinds_are_here() -> None:
    assert len(KINDS) > 30


@pytest.mark.parametrize("kind", KINDS)
def test_everything_may_be_missing_null_or_unknown(kind: type[Wire]) -> None:
    empty = kind.model_validate_json("{}")
    nulls = kind.model_validate_json(json.dumps(dict.fromkeys(kind.model_fields)))
    assert empty == nulls == kind.model_validate_json('{"new":{"a":[1]}}')
    hash(repr(empty))


@pytest.mark.parametrize("kind", KINDS)
def test_frozen(kind: type[Wire]) -> None:
    field = next(iter(kind.model_fields))
    with pytest.raises(ValidationError):
        setattr(kind(), field, None)


def shapes(value: Any) -> st.SearchStrategy[Any]:
    """Make what a recorded value could look like elsewhere: members gone or null, new ones added."""
    if isinstance(value, dict):
        members = {key: st.one_of(shapes(inner), st.none()) for key, inner in value.items()}
        return st.fixed_dictionaries({}, optional={**members, "new_member": st.just([{"a": 1}])})
    if isinstance(value, list):
        return st.lists(st.sampled_from(value).flatmap(shapes), max_size=3) if value else st.just([])
    return st.just(value)


def recorded(name: str) -> Any:
    return json.loads(load(name).body or "")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Tags, "api/tags"), (Running, "api/ps-two"), (ShownModel, "api/show-mid")],
    ids=["tags", "ps", "show"],
)
@settings(deadline=None)  # the first example builds the type
@given(chosen=st.data())
def test_recorded_answers_with_members_gone_null_or_new(kind: type[Wire], name: str, chosen: st.DataObject) -> None:
    kind.model_validate_json(json.dumps(chosen.draw(shapes(recorded(name)))))


def test_null_lists_are_empty() -> None:
    model = ModelInfo.model_validate_json('{"details":{"families":null},"capabilities":null}')
    assert (model.details.families, model.capabilities) == ((), ())
    assert Tags.model_validate_json('{"models":null}').models == ()


def test_null_details_are_unknown_details() -> None:
    assert ModelInfo.model_validate_json('{"details":null}').details == ModelDetails()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param(
            "2026-11-21T05:44:33.589593085Z", datetime(2026, 11, 21, 5, 44, 33, 589593, UTC), id="nanoseconds"
        ),
        pytest.param(
            "2026-11-21T05:44:33+02:00",
            datetime(2026, 11, 21, 5, 44, 33, tzinfo=timezone(timedelta(hours=2))),
            id="offset of the server",
        ),
        pytest.param("2026-11-21T05:44:33", datetime(2026, 11, 21, 5, 44, 33, tzinfo=UTC), id="no offset"),
        pytest.param("0001-01-01T00:00:00Z", None, id="Go's zero time"),
        pytest.param("yesterday", None, id="no time"),
        pytest.param("", None, id="empty"),
        pytest.param(17, None, id="a number"),
    ],
)
def test_moments(text: object, moment: datetime | None) -> None:
    assert ModelInfo.model_validate_json(json.dumps({"modified_at": text})).modified_at == moment


@pytest.mark.parametrize(
    ("years", "forever"), [(0, False), (99, False), (100, True), (292, True)], ids=["now", "99", "100", "292"]
)
def test_for_ever_is_a_date_far_ahead(years: int, forever: bool) -> None:
    year = datetime.now(UTC).year + years
    model = RunningModel.model_validate_json(json.dumps({"expires_at": f"{year}-03-03T05:26:43.800080058Z"}))
    assert (model.expires_at is None) == forever


def test_a_model_tells_its_architecture_and_context() -> None:
    shown = ShownModel.model_validate(recorded("api/show-embed"))
    assert (shown.architecture, shown.context_length) == ("llama", 4096)
    assert (ShownModel().architecture, ShownModel().context_length) == ("", None)
    odd = ShownModel.model_validate_json('{"model_info":{"general.architecture":3}}')
    assert (odd.architecture, odd.context_length) == ("", None)


@pytest.mark.parametrize("name", ["api/show", "api/show-mid", "api/show-verbose", "create/show-pirate"])
def test_nothing_recorded_of_a_model_is_lost(name: str) -> None:
    body = recorded(name)
    shown = ShownModel.model_validate(body)
    unknown = set(body) - set(ShownModel.model_fields)
    assert unknown == set()
    assert shown.model_info == body["model_info"]
    assert len(shown.tensors) == len(body["tensors"])


def test_a_problem_is_told_by_its_place() -> None:
    with pytest.raises(ProtocolBroken) as caught, translated(Address.parse("")):
        Tags.model_validate_json('{"models":[{"name":"a"},{"details":{"families":[3]}}]}')
    assert "valid string at models.1.details.families.0; found: 3" in caught.value.detail


def test_times_in_every_shape_that_go_writes() -> None:
    texts = ["2026-11-21T05:44:33Z", "2026-11-21T05:44:33.5+00:00", "2026-11-21T07:44:33.123456789+02:00"]
    moments = [ModelInfo.model_validate_json(json.dumps({"modified_at": text})).modified_at for text in texts]
    assert all(moment is not None and moment.tzinfo is not None and moment.hour in (5, 7) for moment in moments)
    now = datetime.now(UTC)
    assert ChatAnswer(created_at=now).created_at == now
