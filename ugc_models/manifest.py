"""What lmms-eval is told of our models: where they are, that they keep answers, and each answer.

Importing it loads nothing: lmms-eval reads it before it knows whether a model of ours is wanted.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance

CHAT_MODELS: dict[str, str] = {
    # The same model by two names; lmms-eval shows the one that was asked for.
    "qwen_omni_vllm": "ugc_models.qwen_omni_vllm.QwenOmniVLLM",
    "omni_vllm": "ugc_models.qwen_omni_vllm.QwenOmniVLLM",
    "gemini_video": "ugc_models.gemini_video.GeminiVideo",
    # Saved answers are in the benchmark's layouts, so this one lives in the other wing.
    "ugc_replay": "ugc_tasks.results.replay.UgcReplay",
}
"""Model name on lmms-eval's command line -> path of the chat class."""


def manifests() -> list[Any]:
    """Return one ``lmms_eval.models.registry_v2.ModelManifest`` a model."""
    from lmms_eval.models.registry_v2 import ModelManifest

    models = CHAT_MODELS.items()
    return [ModelManifest(model_id=name, chat_class_path=path) for name, path in models]


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


def attend() -> None:
    """Show models the tasks of an evaluation before it begins, and its results. Idempotent.

    A model may have ``evaluation_begins``, called with the tasks by name, which raises where one of
    them cannot be done, and ``evaluation_facts``, whose dictionary is added to the results.
    """
    from lmms_eval import evaluator
    from lmms_eval.evaluator_utils import get_task_list

    original = evaluator.evaluate
    if getattr(original, "attended", False):
        return

    @functools.wraps(original)
    def evaluate(lm: Any, task_dict: Any, *args: Any, **kwargs: Any) -> Any:
        if begins := getattr(lm, "evaluation_begins", None):
            begins({output.task_name: output.task for output in get_task_list(task_dict)})
        results = original(lm, task_dict, *args, **kwargs)
        if results is not None and (facts := getattr(lm, "evaluation_facts", None)):
            results |= facts()
        return results

    evaluate.attended = True  # type: ignore[attr-defined]
    evaluator.evaluate = evaluate


class Listeners:
    """Hands answers to tasks as soon as they are there, so that they are scored meanwhile.

    A task that wants that gives conversations an ``answered``: a callable that takes the answer and
    ``among``, how many such answers there will be; it returns at once and never raises. Scoring may
    cost money, so only what lmms-eval is going to score is handed over: not with
    ``--predict_only``, and of repeated answers to one document only the first.
    """

    def __init__(self, requests: Iterable[Instance]) -> None:
        self._waiting: dict[int, Callable[[str], None]] = {}
        self._among = Counter(request.task_name for request in requests if not request.idx)

    def add(self, index: int, messages: Any, request: Instance) -> bool:
        """Note the ``answered`` of the conversation ``index``, if it has one that counts.

        Returns whether it has one at all: such a task knows what became of its requests.
        """
        answered = getattr(messages, "answered", None)
        # Source: lmms_eval.evaluator, "predict_only": it overrides the task's metrics by "bypass".
        task = getattr(request.arguments[1], "__self__", None)
        predicted = "bypass" in (getattr(task, "_metric_fn_list", None) or {})
        if callable(answered) and not request.idx and not predicted:
            self._waiting[index] = functools.partial(answered, among=self._among[request.task_name])
        return callable(answered)

    def tell(self, index: int, answer: str) -> None:
        """Hand over an answer, once."""
        listener = self._waiting.pop(index, None)
        if listener is not None:
            listener(answer)
