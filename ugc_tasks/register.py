"""Make the tasks and the models of this package visible to lmms-eval, without a flag.

lmms-eval has an entry-point group for models and none for tasks, and it loads all model plugins in
one ``try``: a plugin that raises takes the ones after it along. So registration rests on two legs:

* the entry point ``lmms_eval.models`` calls :func:`plugin`, lmms-eval's own way;
* a one-line ``.pth`` file in the wheel calls :func:`arm` when the interpreter starts, which reaches
  the commands that never load a model: ``lmms-eval tasks list``, a bare ``TaskManager()``.

So this module runs in every start of the interpreter: standard library only, and little of that,
nothing of ours at import time, and no exception may leave it. Should a later lmms-eval have moved
what is extended here, the user gets one warning that names the way out (``--include_path``).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing.TYPE_CHECKING, whose import would double the cost of a bare start
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

TASK_DIR = os.path.dirname(os.path.abspath(__file__))  # of our task YAML files
_EXTENDED = "_ugc_videocap"  # marks what was extended already: arming twice must not wrap twice


def plugin() -> list[Any]:
    """Entry point of the group ``lmms_eval.models``: arm the tasks, return the manifests."""
    from ugc_models.manifest import manifests

    arm()
    return manifests()


def arm() -> None:
    """Extend lmms-eval's modules now where they are loaded, else as soon as they are, once."""
    for name, extend in _EXTENSIONS.items():
        module = sys.modules.get(name)
        # One that is still being executed, and calls this, lacks what it defines further down.
        spec = getattr(module, "__spec__", None)
        if module is not None and not getattr(spec, "_initializing", False):
            _extend(extend, module)
        elif not any(isinstance(f, _AfterImport) and f.name == name for f in sys.meta_path):
            sys.meta_path.insert(0, _AfterImport(name, extend))


def add_tasks(module: ModuleType) -> None:
    """Let every ``TaskManager`` with the default tasks index our task folder too.

    Names that lmms-eval or the user's ``--include_path`` define win over ours.
    """
    manager = module.TaskManager
    if _EXTENDED in vars(manager):
        return
    original = manager.initialize_tasks
    manager._get_task_and_group  # noqa: B018  a rename shall fail here, where it is reported

    def initialize_tasks(self: Any, *args: Any, **kwargs: Any) -> Any:
        index = original(self, *args, **kwargs)
        wants_defaults = args[1] if len(args) > 1 else kwargs.get("include_defaults", True)
        if wants_defaults:
            try:
                for name, entry in self._get_task_and_group(TASK_DIR).items():
                    index.setdefault(name, entry)
            except Exception as error:  # other people's tasks must go on
                _warn("tasks", error)
        return index

    manager.initialize_tasks = initialize_tasks
    setattr(manager, _EXTENDED, True)


def add_facts(module: ModuleType) -> None:
    """Have lmms-eval keep and show the facts of a run beside its results."""
    if _EXTENDED not in vars(module.EvaluationTracker):
        from ugc_tasks.lmms.saved import extend

        extend(module.EvaluationTracker)
        setattr(module.EvaluationTracker, _EXTENDED, True)


def add_beginning(module: ModuleType) -> None:
    """Have lmms-eval leave out what cannot run or be judged, and say what a model does not get."""
    if _EXTENDED not in vars(module):
        from ugc_tasks.lmms.begins import extend

        extend(module)
        setattr(module, _EXTENDED, True)


def add_models(module: ModuleType) -> None:
    from ugc_models.manifest import add_to

    add_to(module)


def bypass_cache() -> None:
    """Have lmms-eval's ``--use_cache`` not answer for models that keep their answers themselves."""
    from ugc_models.manifest import bypass

    bypass()


_EXTENSIONS: dict[str, Callable[[ModuleType], None]] = {
    "lmms_eval.tasks": add_tasks,
    "lmms_eval.models": add_models,
    "lmms_eval.loggers.evaluation_tracker": add_facts,
    "lmms_eval.evaluator": add_beginning,
}


def _extend(extend: Callable[[ModuleType], None], module: ModuleType) -> None:
    try:
        extend(module)
    except Exception as error:  # an import of lmms-eval must never fail because of us
        _warn(module.__name__, error)


def _warn(what: str, error: Exception) -> None:
    import logging

    logging.getLogger("ugc_videocap").warning(
        "ugc-videocap could not register itself with this version of lmms-eval (%s: %r); "
        "its tasks are available with --include_path %s",
        *(what, error, TASK_DIR),
    )


class _AfterImport:
    """A meta-path finder that runs one callback after one module was executed, then leaves.

    It stays while the module is only looked for (``importlib.util.find_spec``) or fails to import.
    """

    def __init__(self, name: str, callback: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.callback = callback
        self._asking = False

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        if fullname != self.name or self._asking:
            return None
        import importlib.util

        self._asking = True  # all finders are asked, this one among them
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asking = False
        execute = getattr(spec.loader, "exec_module", None) if spec is not None else None
        if spec is None or execute is None:
            return spec

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _extend(self.callback, module)

        # On the instance: the loader keeps its type, its ``get_data`` and the rest.
        spec.loader.exec_module = exec_module  # type: ignore[union-attr, method-assign]
        return spec
