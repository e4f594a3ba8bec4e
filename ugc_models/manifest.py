"""What lmms-eval is told of our models: names and class paths, imported when one is used."""

from __future__ import annotations

from types import ModuleType
from typing import Any

CHAT_MODELS: dict[str, str] = {
    "qwen_omni_vllm": "ugc_models.qwen_omni_vllm.QwenOmniVLLM",
    # Saved answers are in the benchmark's layouts, so this one lives in the other wing.
    "ugc_replay": "ugc_tasks.results.replay.UgcReplay",
}
"""Model name on lmms-eval's command line -> path of the chat class."""


def manifests() -> list[Any]:
    """Return one ``lmms_eval.models.registry_v2.ModelManifest`` a model."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return [
        ModelManifest(model_id=name, chat_class_path=path) for name, path in CHAT_MODELS.items()
    ]


def add_to(module: ModuleType) -> None:
    """Add our models to a loaded ``lmms_eval.models`` wherever they are missing.

    ``lmms-eval models`` prints static dictionaries that entry points do not reach, and the registry
    lacks every entry point that comes after a broken one.
    """
    registered = set(module.MODEL_REGISTRY_V2.list_canonical_model_ids())
    for manifest in manifests():
        if manifest.model_id not in registered:
            module.MODEL_REGISTRY_V2.register_manifest(manifest)
    for name, path in CHAT_MODELS.items():
        module.AVAILABLE_CHAT_TEMPLATE_MODELS.setdefault(name, path)
        module.AVAILABLE_MODELS.setdefault(name, path.rsplit(".", 1)[-1])
