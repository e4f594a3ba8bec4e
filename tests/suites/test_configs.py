"""Every file in ``configs/`` in the real command: as it is, as far as it goes, and to results.

Nothing is downloaded, there is no key and no GPU: each ends with the one thing that it lacks first.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.annotations import video_ids, write_annotations
from tests.support.clips import write_clip
from tests.support.each_config import run_each
from tests.support.engine import QUICK
from tests.support.judge_server import JudgeServer
from tests.support.small_lmms_eval import link_small_lmms_eval
from ugc_models.presets import CHECKPOINTS
from ugc_tasks.benchmark import SPECS

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
ANSWERED = "replay-captions", "replay-full"
RUN = "qwen2.5-omni-3b"  # the one for which an engine is started
OTHER_MODELS = "gemini", "gemma", "minicpm"  # their own tests run them further
CLIPS = 2
_ERROR = re.compile(r"Error during evaluation: (.*)\. Please set `--verbosity=DEBUG`", re.DOTALL)
_LACKING = re.compile(
    r"(checkpoints/\S+ does not exist"
    r"|the configuration of model='[^']+' cannot be loaded: check the folder or the Hugging Face"
    r"|OPENAI_API_KEY|GOOGLE_API_KEY|GEMINI_API_KEY|No module named|pip install|is required"
    r"|\S+: cannot be read|snapshot folder|does not run|trust_remote_code)"
)


def arguments_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content


def with_checkpoint(path: Path, checkpoint: Path, **more: Any) -> str:
    """Return a configuration's model arguments with another checkpoint, as a user states them."""
    given = arguments_of(path)["model_args"]
    others = "".join(f",{name}={value}" for name, value in more.items())
    return re.sub(r"^model=[^,]*", f"model={checkpoint}", given) + others


def _further() -> list[Path]:
    """Return the configurations of our adapter that are tried with a checkpoint, one a kind."""
    kinds: dict[str, Path] = {}
    for path in CONFIGS:
        content = arguments_of(path)
        judged = "UGC_JUDGE_PROFILE" not in content.get("env", {})
        if judged and not path.stem.startswith((*ANSWERED, *OTHER_MODELS)):
            _, _, others = content["model_args"].partition(",")
            kinds.setdefault(f"{others} {content.get('gen_kwargs')} {content['tasks']}", path)
    return list(kinds.values())


FURTHER = _further()


class Said:
    """What the runs wrote, by what was done and the configuration, and where they keep results."""

    def __init__(self, folder: Path, texts: dict[str, str]) -> None:
        self.folder, self._texts = folder, texts

    def error(self, how: str, path: Path) -> str:
        """Return the one error that a run ended with."""
        text = self._texts[f"{how} {path.stem}"]
        found = _ERROR.findall(text)
        assert len(found) == 1, text[-3000:]
        return str(found[0])

    def results(self, stem: str) -> dict[str, Any]:
        files = list((self.folder / "results" / stem).glob("*/*_results.json"))
        assert len(files) == 1, self._texts[f"run {stem}"][-5000:]
        saved: dict[str, Any] = json.loads(files[0].read_text("utf-8"))["results"]
        return saved


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Said:
    folder = tmp_path_factory.mktemp("configs")
    home = folder / "home"
    (home / "videos").mkdir(parents=True)
    write_annotations(home, CLIPS)
    for video_id in video_ids(CLIPS):
        write_clip(home / "videos" / f"{video_id}.mp4", seconds=2)
    answers = dict.fromkeys(video_ids(CLIPS), "A person dances.")
    (folder / "mine").mkdir()
    for spec in SPECS.values():
        (folder / "mine" / f"{spec.task}.json").write_text(json.dumps(answers))
    cases: list[dict[str, Any]] = []

    def add(how: str, path: Path, *argv: str, **env: str) -> None:
        output = folder / "results" / path.stem
        argv = ("--config", str(path), "--limit", "1", "--output_path", str(output), *argv)
        cases.append({"name": f"{how} {path.stem}", "argv": argv, "env": env})

    with JudgeServer() as judge:
        for path in CONFIGS:
            add("bare", path)
            if (
                not path.stem.startswith((*ANSWERED, *OTHER_MODELS))
                and path.stem != "captions-only"
            ):
                add("tiny", path, "--model_args", with_checkpoint(path, checkpoint))
            for stem, what in zip(ANSWERED, ("mine/ugc_videocap.json", "mine"), strict=True):
                if path.stem == stem:
                    add(
                        *("run", path, "--model_args", f"answers={what},name=mine"),
                        UGC_JUDGE_PROFILE="offline",
                    )
            if path.stem == RUN:
                quick = {n: v for n, v in QUICK.items() if n != "max_model_len"}
                model = with_checkpoint(path, checkpoint, frames=4, max_pixels=3136, **quick)
                add(
                    *("run", path, "--model_args", model, "--gen_kwargs", "max_new_tokens=4"),
                    UGC_JUDGE_PROFILE="rubric",
                    OPENAI_BASE_URL=judge.base_url,
                    OPENAI_API_KEY="sk-loopback",
                )
        texts = run_each(
            cases,
            folder,
            {
                **{n: v for n, v in os.environ.items() if not n.endswith("_API_KEY")},
                "PYTHONPATH": str(link_small_lmms_eval(folder / "small")),
                "UGC_VIDEOCAP_HOME": str(home),
                "UGC_VIDEOCAP_CACHE": str(folder / "cache"),
                "HF_HOME": str(folder / "huggingface"),
                "HF_HUB_OFFLINE": "1",
            },
            timeout=800,
        )
    assert texts.keys() == {case["name"] for case in cases}
    return Said(folder, texts)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_as_it_is_it_says_in_a_sentence_what_is_missing(said: Said, path: Path) -> None:
    error = said.error("bare", path)
    assert _LACKING.search(error), error
    assert len(error) < 600
    assert error.count("\n") <= 1


@pytest.mark.parametrize("stem", sorted(CHECKPOINTS))
def test_a_checkpoint_that_is_not_on_the_hub_is_said_to_be_where_the_authors_have_it(
    said: Said, stem: str
) -> None:
    (path,) = (path for path in CONFIGS if path.stem == stem)
    error = said.error("bare", path)
    assert error == (
        f"checkpoints/{stem} does not exist (looked for in {said.folder}): "
        f"get it from {CHECKPOINTS[stem]}"
    )
    assert CHECKPOINTS[stem] in path.read_text("utf-8")


@pytest.mark.parametrize("path", FURTHER, ids=lambda path: path.stem)
def test_with_a_checkpoint_the_key_is_missing(said: Said, path: Path) -> None:
    """Its arguments are taken, and the tasks are loaded, before an engine is started."""
    assert "OPENAI_API_KEY" in said.error("tiny", path)


def test_saved_answers_are_scored(said: Said) -> None:
    assert said.results("replay-captions")["ugc_videocap"]["n,none"] == 1
    results = said.results("replay-full")
    assert {spec.task for spec in SPECS.values()} & results.keys() >= {
        *("ugc_videocap", "ugc_videocap_tone", "ugc_videocap_ocr", "ugc_videocap_objects")
    }
    assert results["ugc_videocap_ocr"]["n,none"] == 1


def test_a_published_row_is_made_from_clips_to_scores(said: Said) -> None:
    results = said.results(RUN)
    assert results["ugc_videocap"]["n,none"] == 1
    assert results["ugc_videocap"]["average,none"] > 0
    assert "ugc_videocap_full" in results
