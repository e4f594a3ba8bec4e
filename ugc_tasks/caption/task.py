"""The functions that ``ugc_videocap.yaml`` names: thin, one a field.

lmms-eval executes this file afresh for every ``!function`` of the YAML, so it holds no state. It
takes whatever attribute is named, which is how ``dataset_kwargs`` and ``metadata`` are values that
depend on the environment: they are computed when the YAML is loaded. That is also the one place
where an error of ours reaches the user as it is: from the dataset's download on, lmms-eval would
repeat it five times and wrap it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ugc_tasks.caption.answers import KeepPlaces, judge_answer
from ugc_tasks.caption.metrics import clip_metrics, count, count_heard, one_label, share
from ugc_tasks.caption.run import current_run

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["KeepPlaces", "count", "count_heard", "one_label", "share"]


def __getattr__(name: str) -> Any:
    if name == "dataset_kwargs":
        return {"data_files": {"test": str(current_run().annotation.path)}, "field": "samples"}
    if name == "metadata":
        return current_run().metadata()
    raise AttributeError(name)


def process_docs(dataset: Dataset) -> Dataset:
    """Return the checked documents instead of the raw rows: ids, question, reference."""
    from datasets import Dataset

    return Dataset.from_list(current_run().documents())


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """Return the clip's path, for simple models."""
    return [str(current_run().clip(doc["video_id"]))]


def doc_to_text(doc: dict[str, Any]) -> str:
    """Return the caption question."""
    return str(doc["question"])


def doc_to_messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one user turn, the clip before the question, as the published runs had it."""
    clip = {"type": "video", "url": str(current_run().clip(doc["video_id"]))}
    return [{"role": "user", "content": [clip, {"type": "text", "text": doc_to_text(doc)}]}]


def doc_to_target(doc: dict[str, Any]) -> str:
    """Return the reference caption."""
    return str(doc["answer"])


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Return the metrics of a clip, judged."""
    run = current_run()
    profile = run.judge.describe()
    asked = profile["profile"] != "none"
    return clip_metrics(
        doc["video_id"],
        results[0],
        judge_answer(doc, results[0], run.judge) if asked else None,
        label=profile["label"],
        estimate=profile["estimate"],
        wanted=len(run.questions.answers),
        generation=getattr(results[0], "generation", None),
    )
