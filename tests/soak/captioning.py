"""A captioning run in a process of its own: ``python -m tests.soak.captioning PLAN RESULT``.

Makes the model as ``lmms-eval --model ... --model_args ...`` does and asks as lmms-eval
asks. PLAN is what :class:`tests.support.captioning.Captioning` writes; RESULT gets, as JSON, what
became of each request. The run is to be killed, interrupted, and started again.

``python -m tests.soak.captioning CHECKPOINT`` (or ``gemini_video``) is a nursery of such runs: it
imports once what takes ten seconds, and forks a run for each line ``[PLAN, RESULT, LOG, EXIT]``
that it reads. What is killed is the same code.
"""

from __future__ import annotations

import json
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

ASKING = "The run is asking."
TASK, SPLIT = "some_task", "test"


def messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
    """What a task makes of a document: see ``doc_to_messages`` in lmms-eval."""
    content = [{"type": "video", "url": doc["video"]}, {"type": "text", "text": doc["question"]}]
    return [{"role": "user", "content": content}]


def run(plan_file: str, result: str) -> None:
    """Ask for all captions of the plan and write them down."""
    from lmms_eval.api.instance import Instance
    from lmms_eval.models import get_model

    plan = json.loads(Path(plan_file).read_text("utf-8"))
    config = {"batch_size": 1, "max_batch_size": None, "device": None}
    model = get_model(plan["model"]).create_from_arg_string(plan["model_args"], config)
    if plan["pages"] is not None:
        model._store._file.execute(f"PRAGMA max_page_count={plan['pages']}")
    model.task_dict = {TASK: {SPLIT: plan["docs"]}}
    requests = [
        Instance(
            request_type="generate_until",
            arguments=("", messages, doc["generation"], index, TASK, SPLIT),
            idx=0,
            metadata={"task": TASK, "doc_id": index, "repeats": 1},
        )
        for index, doc in enumerate(plan["docs"])
    ]
    print(ASKING, flush=True)
    answers = model.generate_until(requests)
    model.clean()
    rows = [{"text": str(answer.text), **answer.text.generation} for answer in answers]
    Path(result).write_text(json.dumps(rows), "utf-8")


def nursery(checkpoint: str) -> None:
    """Fork a run for each line of stdin; its exit status goes to its file EXIT."""
    import httpx  # noqa: F401
    from lmms_eval.models import get_model

    from ugc_models.engine.family import family_of
    from ugc_models.request.prompt import ChatTemplate, conversation

    if checkpoint == "gemini_video":
        from google.genai import types  # noqa: F401

        get_model(checkpoint)
    else:
        get_model("qwen_omni_vllm")
        family_of(checkpoint)
        ChatTemplate(checkpoint).render(
            conversation(messages({"video": "a.mp4", "question": "?"}), None)
        )
    exits: dict[int, str] = {}
    while True:
        ready = select.select([sys.stdin.buffer], [], [], 0.02)[0]
        with suppress(ChildProcessError):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                Path(exits.pop(pid)).write_text(str(os.waitstatus_to_exitcode(status)), "utf-8")
        if not ready:
            continue
        line = os.read(sys.stdin.fileno(), 1 << 16)
        if not line:
            return
        plan, result, log, end = json.loads(line)
        pid = os.fork()
        if not pid:
            _grow_up(plan, result, log)
        exits[pid] = end
        print(pid, flush=True)


def _grow_up(plan: str, result: str, log: str) -> None:
    """Be a process as a shell starts it, and end as one."""
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(out, number)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    run(plan, result)
    sys.exit()


if __name__ == "__main__":
    run(*sys.argv[1:]) if len(sys.argv) == 3 else nursery(sys.argv[1])
