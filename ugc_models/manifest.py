"""What lmms-eval is told of our models: names and class paths, and that they keep answers."""

from __future__ import annotations

import functools
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


def bypass() -> None:
    """Let lmms-eval's ``--use_cache`` ask models with a true ``keeps_answers``. Idempotent.

    That cache knows a request by its task and the document's number. A clip that was replaced,
    another prompt in the checkpoint's template, a checkpoint written over the last: all would be
    answered with what was said before, and as a bare string, without how it came about.
    """
    from loguru import logger

    try:
        from lmms_eval.caching.response_cache import ResponseCache
    except ImportError:  # a version without that cache
        return
    original = ResponseCache.execute
    if getattr(original, "bypassed", False):
        return

    @functools.wraps(original)
    def execute(self: Any, lm: Any, reqtype: str, requests: list[Any]) -> list[Any]:
        if not getattr(lm, "keeps_answers", False):
            return list(original(self, lm, reqtype, requests))
        logger.info("--use_cache is not asked for this model: it keeps its answers itself.")
        return list(getattr(lm, reqtype)(requests))

    execute.bypassed = True  # type: ignore[attr-defined]
    ResponseCache.execute = execute
