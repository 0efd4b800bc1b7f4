"""The script of the simulated server: what it takes, and the sentence where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launcher.demo.registry import Registry
from launcher.demo.script import InvalidScript, Script
from launcher.demo.script_file import load_script, parse_script
from launcher.domain.names import ModelName


def test_no_script_is_a_plain_run_at_full_size() -> None:
    assert load_script({}) == Script()


def test_sizes_and_waits_scale_and_the_rest_does_not() -> None:
    script = parse_script(
        {
            "scale": 0.01,
            "free_bytes": 5000,
            "rate_bytes_per_s": 12,
            "faults": [{"fault": "stall", "at_bytes": 1000, "for_s": 7}],
        }
    )
    assert (script.free_bytes, script.faults[0].at_bytes, script.faults[0].for_s) == (50, 10, 7.0)
    assert (script.rate_bytes_per_s, script.line_interval_ms) == (12.0, 60.0)
    assert script.wait_s(30) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("kind", "times"), [("stall", 1), ("error", 1), ("crash", 1), ("cut", 0), ("rollback", 0), ("corrupt", 0)]
)
def test_how_often_a_fault_happens(kind: str, times: int) -> None:
    assert parse_script({"faults": [{"fault": kind}]}).faults[0].times == times
    assert parse_script({"faults": [{"fault": kind, "times": 3}]}).faults[0].times == 3


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        pytest.param([], "the script must be an object.", id="no object"),
        pytest.param({"scale": 0}, "scale must be above 0 and not above 1.", id="scale"),
        pytest.param({"scale": "1"}, "scale in the script must be a number, 0 or above.", id="kind"),
        pytest.param({"colour": 1}, "the script has no member 'colour'.", id="unknown"),
        pytest.param({"start": {"quiet_s": 1}}, "start has no member 'quiet_s'.", id="unknown inside"),
        pytest.param({"rate_bytes_per_s": 0}, "rate_bytes_per_s must be above 0.", id="rate"),
        pytest.param({"seed": 1.5}, "seed in the script must be a whole number.", id="seed"),
        pytest.param({"stop": {"ignore": 1}}, "ignore in stop must be true or false.", id="boolean"),
        pytest.param({"models": []}, "models in the script must be an object of objects.", id="models"),
        pytest.param({"faults": {}}, "faults in the script must be a list.", id="faults"),
        pytest.param(
            {"faults": [{"fault": "rain"}]},
            "fault must be one of stall, cut, rollback, error, crash, corrupt, not 'rain'.",
            id="fault",
        ),
        pytest.param(
            {"registry": {"fails": "tired"}},
            "fails in registry must be down, offline, proxy or a status from 400 to 599.",
            id="registry",
        ),
        pytest.param({"answers": {"garbage": [1]}}, "garbage in answers must be a list of texts.", id="texts"),
        pytest.param({"crash": {"signal": "SIGNOTHING"}}, "signal in crash must be the name of a signal.", id="signal"),
    ],
)
def test_bad_scripts_are_refused_in_one_sentence(value: Any, sentence: str) -> None:
    with pytest.raises(InvalidScript) as caught:
        parse_script(value)
    assert caught.value.title == sentence


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        pytest.param({"a/b/c/d": {}}, "'a/b/c/d' in models is not the name of a model.", id="name"),
        pytest.param({"a": {"size": 1}}, "the model a has no member 'size'.", id="member"),
        pytest.param({"a": {"size_bytes": "x"}}, "size_bytes of the model a is of the wrong kind.", id="kind"),
        pytest.param({"a": {"layers": [{}]}}, "each layer of the model a:latest needs a type.", id="layer"),
    ],
)
def test_bad_models_are_refused_in_one_sentence(models: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidScript) as caught:
        Registry(parse_script({"models": models}))
    assert caught.value.title == sentence


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    for content, sentence in ((None, "cannot be read"), (b"\xff", "cannot be read"), (b"{", "is not JSON")):
        path = tmp_path / "script.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InvalidScript, match=sentence):
            load_script({"LAUNCHER_DEMO_SCRIPT": str(path)})


def test_weights_differ_by_size_so_that_no_scale_passes_for_another() -> None:
    name = ModelName.parse("qwen3:8b")
    digests = set()
    for scale in (1.0, 0.01):
        model = Registry(parse_script({"scale": scale})).model(name)
        assert model is not None
        digests.add(model.layers[0].digest)
    assert len(digests) == 2


@pytest.mark.parametrize("names", [("qwen3:8b", "qwen3"), ("llama3.2", "llama3.2:3b")], ids=" ".join)
def test_an_alias_is_the_same_manifest(names: tuple[str, str]) -> None:
    registry = Registry(parse_script({}))
    models = [registry.model(ModelName.parse(name)) for name in names]
    assert models[0] is not None
    assert models[1] is not None
    assert models[0].manifest == models[1].manifest
