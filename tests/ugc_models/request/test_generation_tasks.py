"""Every generation task of the installed lmms-eval states arguments that the adapter knows.

Their YAML files are read by lmms-eval's own loader, without their functions and without data. What
a new version brings and the adapter does not know fails here by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import lmms_eval.tasks
import pytest
import yaml
from lmms_eval.api.group import GroupConfig
from lmms_eval.api.task import ALL_OUTPUT_TYPES
from lmms_eval.utils import load_yaml_config

from ugc_models.request.generation import generation_parameters, remarks

TASKS = Path(lmms_eval.tasks.__file__).parent

ANSWERED = {"generate_until", "generate_until_multi_round", "generate_until_agentic"}
"""The last is done by lmms-eval itself, one ``generate_until`` a step."""
REFUSED = {"loglikelihood", "multiple_choice"}
"""By likelihoods, which the adapter does not give."""
DRAWN = {"generate_visual_cot"}
"""With pictures that the model draws on the way. lmms-eval refuses it to chat models itself."""


@cache
def configs() -> dict[str, dict[str, Any]]:
    """Return every task's configuration by its name."""
    with pytest.MonkeyPatch.context() as patch:  # libyaml is five times as fast
        patch.setattr(yaml, "full_load", lambda file: yaml.load(file, yaml.CFullLoader))  # noqa: S506
        patch.setitem(yaml.CFullLoader.yaml_constructors, "!function", lambda _, node: node.value)
        read = [load_yaml_config(str(path), mode="simple") for path in TASKS.rglob("*.yaml")]
    groups = [config for config in read if isinstance(config.get("task"), list)]
    found = {config["task"]: config for config in read if isinstance(config.get("task"), str)}
    group_keys = set(GroupConfig().to_dict()) | {"include"}
    for group in groups:
        # A group may change what its tasks state, and define tasks of its own.
        changed = {name: value for name, value in group.items() if name not in group_keys}
        for task in group["task"]:
            own = task if isinstance(task, dict) else {"task": task}
            if changed or isinstance(task, dict):
                base = found.get(str(own.get("task")), {})
                found[f"{group['group']}/{own.get('task')}"] = {**base, **own, **changed}
    return found


def output_type(config: Mapping[str, Any]) -> str:
    return str(config.get("output_type", "generate_until"))


def generation_kwargs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tasks that want text, with what their YAML files state."""
    for name, config in configs().items():
        if output_type(config) not in REFUSED:
            own = config.get("model_specific_generation_kwargs") or {}
            yield name, {**(config.get("generation_kwargs") or {}), **(own.get("default") or {})}


def test_there_are_many() -> None:
    assert len(configs()) > 1_000
    assert len(list(generation_kwargs())) > 1_000


def test_every_way_of_answering_is_known() -> None:
    kinds = {output_type(config) for config in configs().values()}
    assert kinds | set(ALL_OUTPUT_TYPES) <= ANSWERED | REFUSED | DRAWN


def test_every_generation_argument_is_one_that_vllm_follows() -> None:
    from vllm import SamplingParams

    refused: dict[str, list[str]] = {}
    for name, stated in generation_kwargs():
        try:
            SamplingParams(**generation_parameters(stated))
        except Exception as error:
            refused.setdefault(str(error), []).append(name)
    assert refused == {}


def test_what_is_not_done_as_it_stands_is_little() -> None:
    """Each of these is said once a run; whoever adds to them names the reason in the docs."""
    assert {line for _, stated in generation_kwargs() for line in remarks(stated)} == {
        "image_aspect_ratio",
        "visual_cot",
        "max_agentic_steps",
        *(f"do_sample=False beside temperature={t}" for t in (0.2, 0.5, 0.7, 1)),
    }
