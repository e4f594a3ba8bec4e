"""A run of ``gemini_video`` within this process, as lmms-eval makes and asks a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lmms_eval.api.instance import Instance
from lmms_eval.models import get_model

from ugc_models.captions import Caption

GENERATION = {"temperature": 0.2, "max_new_tokens": 1024, "until": []}
Doc = dict[str, Any]


def shown(doc: Doc) -> list[dict[str, Any]]:
    """Return the messages of a document: a clip, then a question."""
    content = [{"type": "video", "url": doc["video"]}, {"type": "text", "text": doc["question"]}]
    return [{"role": "user", "content": content}]


class Asking:
    """One command: the model and what it is asked."""

    def __init__(self, **model_args: Any) -> None:
        line = ",".join(f"{name}={value}" for name, value in model_args.items())
        self.model: Any = get_model("gemini_video").create_from_arg_string(line, {})

    def __call__(
        self,
        docs: Sequence[Doc],
        messages: Callable[[Doc], list[dict[str, Any]]] = shown,
        **generation: Any,
    ) -> list[Caption]:
        """Return the answers."""
        self.model.task_dict = {"task": {"test": docs}}
        said = {**GENERATION, **generation}
        requests = [
            Instance(
                request_type="generate_until",
                arguments=("", messages, said, index, "task", "test"),
                idx=0,
                metadata={"task": "task", "doc_id": index, "repeats": 1},
            )
            for index in range(len(docs))
        ]
        return [answer.text for answer in self.model.generate_until(requests)]
