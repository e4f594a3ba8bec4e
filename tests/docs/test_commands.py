"""Every command in README and docs/ is run, or stands in ``NOT_RUN`` with the reason why not.

``ugc-videocap`` runs: the commands of a page one after the other, in a folder that has the files
which they name, against a judge and a host of files on loopback. A run on a GPU is parsed by the
programs' own parsers; what it names (tasks, models, arguments, configurations) has to be there.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import inspect
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.suites.documents import SUITES
from tests.support import graders, published, recordings
from tests.support.annotations import TONES, ocr_texts, video_ids, write_annotations
from tests.support.clips import write_clip
from tests.support.documents import (
    PAGES,
    PROJECT,
    TARGETS,
    Command,
    blocks,
    commands,
    named,
)
from tests.support.judge_server import Act, Asked, JudgeServer, text
from tests.support.web_host import MP4, Answer, WebHost
from ugc_tasks import run as task_run
from ugc_tasks.benchmark import SPECS, questions_of
from ugc_tasks.cli.main import main
from ugc_tasks.data.questions import read_questions
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.register import TASK_DIR

pytestmark = pytest.mark.timeout(600)

NOT_RUN = {
    "pip install": "needs the package index and gigabytes; make sets up every environment of CI",
    "make": "takes minutes; CI runs `make test`",
    "lmms-eval": "needs a GPU, or half a minute to start: tests/test_whole_run.py and "
    "tests/ugc_tasks/results/test_replay_run.py run whole ones, and test_register.py its lists",
    "accelerate launch": "needs GPUs; tests/test_ranks.py has two ranks on a CPU",
    "vllm serve": "needs a GPU; tests/ugc_models/engine/server/test_vllm_serve.py has one on a CPU",
    "ray start": "needs two machines",
    "serve run": "needs a cluster, and packages that are none of ours",
    "kubectl": "needs a cluster",
}
"""How a command begins -> why it is not run here. Many are parsed all the same: see ``PARSED``."""

ALL = [command for page in PAGES for command in commands(page)]
CLIPS = 4
KITCHEN = ("kitchen-1", "kitchen-2")  # of docs/extending.md
TASKS = {spec.task for spec in SPECS.values()} | {"ugc_videocap_full"}


def placed(command: Command) -> str:
    """Return where a command stands, as the name of its test."""
    return f"{command.page}:{command.line}"


def begins(command: Command, *names: str) -> bool:
    return any(command.words[: len(name.split())] == name.split() for name in names)


# ---- the table ----


@pytest.mark.parametrize("command", ALL, ids=placed)
def test_each_command_is_run_or_has_a_reason_why_not(command: Command) -> None:
    run_here = command.program in ("ugc-videocap", "export")
    assert run_here or begins(command, *NOT_RUN), f"{command} is neither run nor in NOT_RUN"


def test_the_table_has_no_reason_for_what_is_not_there() -> None:
    for name in NOT_RUN:
        assert any(begins(command, name) for command in ALL), name


# ---- commands that are parsed ----


def parse_export(command: Command, _: pytest.MonkeyPatch) -> None:
    options = (PROJECT / "docs" / "options.md").read_text("utf-8")
    for name in command.assigned:
        assert f"`{name}`" in options, f"{command}: {name} is not in docs/options.md"


def parse_make(command: Command, _: pytest.MonkeyPatch) -> None:
    assert set(command.words[1:]) <= TARGETS


def parse_lmms_eval(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    if begins(command, "lmms-eval tasks", "lmms-eval models"):
        return
    check_run(command.words[1:], monkeypatch)


def parse_accelerate(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.commands.launch import launch_command_parser

    arguments = launch_command_parser().parse_args(command.words[2:])
    assert command.words[1] == "launch"
    assert (arguments.module, arguments.training_script) == (True, "lmms_eval")
    assert arguments.num_processes == 8
    check_run(arguments.training_script_args, monkeypatch)


def parse_vllm(command: Command, _: pytest.MonkeyPatch) -> None:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    assert command.words[1] == "serve"
    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(command.words[2:])
    assert arguments.model_tag.startswith("Qwen/Qwen2.5-Omni-")


def check_run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that lmms-eval can take these arguments, and that what they name is there."""
    from lmms_eval.__main__ import parse_eval_args
    from lmms_eval.models import MODEL_REGISTRY_V2

    monkeypatch.setattr(sys, "argv", ["lmms-eval", *words])
    arguments = parse_eval_args()[1]
    if arguments.config:
        # What is in it: tests/test_configs.py.
        assert (PROJECT / arguments.config).is_file()
        return
    ours = {"my_captions"} if arguments.include_path == "my-tasks" else set()
    assert set(arguments.tasks.split(",")) <= TASKS | ours | {suite.task for suite in SUITES}
    assert MODEL_REGISTRY_V2.resolve(arguments.model).class_path
    assert arguments.output_path, "without it a run leaves nothing"
    assert arguments.log_samples, "without it a run leaves no rows"
    check_model_arguments(arguments)


def check_model_arguments(arguments: argparse.Namespace) -> None:
    from lmms_eval.utils import simple_parse_args_string

    given = simple_parse_args_string(arguments.model_args)
    if arguments.model == "ugc_replay":
        from ugc_tasks.results.replay import UgcReplay

        assert set(given) <= set(inspect.signature(UgcReplay).parameters)
    elif arguments.model == "gemini_video":
        from ugc_models.gemini.settings import GeminiSettings

        GeminiSettings.from_arguments(given)
    else:
        from vllm import EngineArgs

        from ugc_models.config import Settings

        names = {field.name for field in dataclasses.fields(EngineArgs)}
        Settings.from_arguments(given, names)


PARSED = {
    "export": parse_export,
    "make": parse_make,
    "lmms-eval": parse_lmms_eval,
    "accelerate": parse_accelerate,
    "vllm": parse_vllm,
}
"""Program -> how its commands are checked."""


@pytest.mark.parametrize("command", [c for c in ALL if c.program in PARSED], ids=placed)
def test_what_a_command_names_is_there(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    PARSED[command.program](command, monkeypatch)


# ---- commands that are run ----


@pytest.fixture(scope="module")
def judge() -> Iterator[JudgeServer]:
    with JudgeServer(graded) as server:
        yield server


def graded(asked: Asked) -> Act:
    """Grade as a sane judge does, also where docs/extending.md asks in its own way."""
    reference, own, caption = asked.user.partition("\n\nCaption: ")
    if not own:
        return graders.sane(asked)
    mark = graders.grade(caption, reference.removeprefix("Reference: "))
    return text(json.dumps({"visual": mark, "audio": mark, "story": 2 * mark}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, judge: JudgeServer) -> Path:
    """A folder with the files that the pages name: answers, runs, score files, bundles."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        _write_answers(folder)
        use(folder, judge, patch)
        _make_runs(folder, patch)
    return folder


def use(folder: Path, judge: JudgeServer, patch: pytest.MonkeyPatch) -> None:
    """Be a user who has the benchmark's annotations, and a judge with our own prompt."""
    ours = ("UGC_", "OPENAI_", "HF_", "VLLM_API")
    for name in [name for name in os.environ if name.startswith(ours)]:
        patch.delenv(name)
    patch.setenv("UGC_VIDEOCAP_HOME", str(folder / "home"))
    patch.setenv("UGC_VIDEOCAP_CACHE", str(folder / "cache"))
    patch.setenv("UGC_JUDGE_PROFILE", "rubric")
    patch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
    patch.setenv("OPENAI_BASE_URL", judge.base_url)
    patch.setenv("HF_HUB_OFFLINE", "1")
    patch.setenv("NO_PROXY", "*")
    # The annotations of these few clips are those of the benchmark.
    path = folder / "home" / SPECS["caption"].annotations
    digests = {"caption": questions_of(SPECS["caption"], path).sha256}
    patch.setattr("ugc_tasks.submit.bundle.published_questions", digests.__getitem__)
    patch.chdir(folder)


def _write_answers(folder: Path) -> None:
    (folder / "home").mkdir()
    write_annotations(folder / "home", CLIPS)
    ids = video_ids(CLIPS)
    captions = {i: f"Reference {n} of final_caption_qa, and a dog." for n, i in enumerate(ids)}
    captions |= dict.fromkeys(KITCHEN, "A pan sizzles, rain falls, and somebody hums.")
    _lines(folder / "captions.jsonl", [{"video_id": i, "caption": c} for i, c in captions.items()])
    texts = [{"video_id": i, "predict_ocr": ocr_texts(n)} for n, i in enumerate(ids)]
    _lines(folder / "answers.jsonl", texts)
    with (folder / "answers.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("video_id", "prediction", "text"), *((i, TONES[0], "?") for i in ids[:2])]
        )
    scores = {f"{name}_score": 3 for name in ("visual", "audio", "details")}
    (folder / "scores").mkdir()
    content = {"evaluations": {i: {**scores, "average_score": 3} for i in ids}}
    (folder / "scores" / "theirs.json").write_text(json.dumps(content))
    recordings.write_judgments(folder / "old-judge", ids)
    clip = write_clip(folder / "clip.mp4", seconds=1, faststart=True).read_bytes()
    with zipfile.ZipFile(folder / "clips.zip", "w") as archive:
        archive.writestr(f"{published.IDS[0]}.mp4", clip)
    (folder / "my-set").mkdir()
    (annotations,) = of_page("extending", "json")
    (folder / "my-set" / "final_caption_qa.json").write_text(annotations)
    (profile,), prompt = of_page("extending", "toml"), of_page("extending", "text")[0]
    (folder / "story.toml").write_text(profile)
    (folder / "story.txt").write_text(prompt)


def _make_runs(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make two runs by lmms-eval, the folder's bundles, and a run of another name."""
    better, worse = folder / "better.jsonl", folder / "captions.jsonl"
    rows = [json.loads(line) for line in worse.read_text().splitlines()]
    _lines(better, [{**row, "caption": row["caption"].removesuffix(" and a dog.")} for row in rows])
    for name, answers in (("new", better), ("old", worse)):
        evaluate(folder, patch, answers, name)
        for bundle in (f"bundles/{name}", *(["ready"] if name == "new" else [])):
            assert main(["submit", f"results/{name}", "-o", bundle]) == 0
    made = next((folder / "results" / "old").glob("*_samples_ugc_videocap.jsonl"))
    (folder / "results" / "captions").mkdir()
    shutil.copy(made, folder / "results" / "captions" / "date_samples_my_captions.jsonl")


def evaluate(
    folder: Path,
    patch: pytest.MonkeyPatch,
    answers: Path,
    name: str,
    *,
    task: str = "ugc_videocap",
    include: str = TASK_DIR,
) -> dict[str, Any]:
    """Evaluate saved answers as lmms-eval's command does, but in this process."""
    import datasets
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.loggers import EvaluationTracker
    from lmms_eval.tasks import TaskManager

    patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
    opened: list[Judge] = []

    def open_and_remember(*args: Any, **kwargs: Any) -> Judge:
        opened.append(open_judge(*args, **kwargs))
        return opened[-1]

    patch.setattr(task_run, "open_judge", open_and_remember)
    patch.setattr(task_run, "_orders", [])  # models of other tests that are not collected yet
    tracker = EvaluationTracker(output_path=str(folder / "results"))
    try:
        results: dict[str, Any] = simple_evaluate(
            model="ugc_replay",
            model_args=f"answers={answers},name={name}",
            tasks=[task],
            task_manager=TaskManager(include_path=include, include_defaults=False),
            evaluation_tracker=tracker,
        )
    finally:
        task_run._run.cache_clear()
        for each in opened:
            each.close()
    samples = results.pop("samples")
    tracker.save_results_aggregated(results, samples, "2026-11-28T00:00:00")
    tracker.save_results_samples(task, samples[task])
    return dict(results["results"][task])


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture
def work(folder: Path, judge: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, which is the working folder."""
    copy = tmp_path / "work"
    shutil.copytree(folder, copy)
    use(copy, judge, monkeypatch)
    return copy


@pytest.fixture
def host() -> Iterator[WebHost]:
    """The Hub and GitHub, with a benchmark of a few clips in the place of the published one."""
    with WebHost().running() as host:
        for path, content in published.pages().items():
            host.add(path, Answer(content))
        yield host


def of_page(name: str, language: str) -> list[str]:
    """Return the blocks of a page of docs/ in a language."""
    page = PROJECT / "docs" / f"{name}.md"
    return [block.text for block in blocks(page) if block.language == language]


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if any(c.program == "ugc-videocap" for c in commands(p))],
    ids=named,
)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: Path,
    work: Path,
    host: WebHost,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = list(commands(page))
    if not any(begins(command, "ugc-videocap submit") for command in listed):
        (work / "ready").rename(work / "bundle")
    for command in listed:
        if command.program == "export":
            for name, value in command.assigned.items():
                # The judge is the one on loopback; weights of a model are not here.
                if name != "OPENAI_BASE_URL" and not value.startswith("local:"):
                    monkeypatch.setenv(name, value)
        elif command.program == "ugc-videocap":
            run(command, work, host, capsys)


def run(command: Command, work: Path, host: WebHost, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command as a shell would; it has to end well, and to say or write something."""
    words, output = command.words[1:], None
    if ">" in words:
        at = words.index(">")
        words, output = words[:at], work / words[at + 1]
    words = [each for word in words for each in expanded(word, work)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115, PTH123 - no terminal
        for name, value in command.assigned.items():
            patch.setenv(name, value)
        if words[0] in ("prepare", "status"):
            use_host(work, host, patch)
        if words[:2] == ["bridge", "judge"]:
            recordings.install(patch, host, video_ids(CLIPS))
        capsys.readouterr()
        try:
            status = main(words)
        except SystemExit as ended:
            status = int(ended.code or 0)
    printed, said = capsys.readouterr()
    # Of what `prepare` brings, most of the clips are nowhere.
    well = (0, 3) if words[0] in ("prepare", "status") else (0,)
    assert status in well, f"{command} ends with {status}: {said}"
    assert "Traceback" not in said
    if output is not None:
        output.write_text(printed)
    assert printed or said


def expanded(word: str, work: Path) -> list[str]:
    """Return a word as a shell hands it on: globs name files, and VIDEO_ID is one."""
    if word == "VIDEO_ID":
        return [video_ids(1)[0]]
    if "*" not in word:
        return [word]
    found = sorted(str(path.relative_to(work)) for path in work.glob(word))
    assert found, f"{word} names no file"
    return found


def use_host(work: Path, host: WebHost, patch: pytest.MonkeyPatch) -> None:
    """Be a user who has nothing yet, and in whose reach the small benchmark is."""
    for name in ("UGC_VIDEOCAP_HOME", "HF_HUB_OFFLINE"):
        patch.delenv(name, raising=False)
    patch.setenv("UGC_VIDEOCAP_CACHE", str(work / "fresh"))
    patch.setenv("HF_ENDPOINT", host.endpoint)
    patch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", host.endpoint)
    patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(work / "hf"))
    published.install(patch)
    clip = Answer((work / "clip.mp4").read_bytes(), headers=MP4)
    links = [f"{i},{host.add(f'/clips/{i}', clip)}" for i in published.IDS]
    (work / "links.csv").write_text("\n".join(["video_id,url", *links]))


# ---- what the pages have one write ----


def test_a_caption_set_of_ones_own_is_read(folder: Path) -> None:
    assert tuple(read_questions(folder / "my-set" / "final_caption_qa.json").references) == KITCHEN


@pytest.mark.parametrize("own_metric", [False, True], ids=["own name", "own metric"])
def test_a_caption_set_of_ones_own_has_a_task_of_its_own(
    own_metric: bool,
    folder: Path,
    judge: JudgeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(folder, judge, monkeypatch)
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(folder / "my-set"))
    tasks = tmp_path / "my-tasks"
    tasks.mkdir()
    text = of_page("extending", "yaml")[own_metric].replace("TASK_DIR", TASK_DIR)
    (tasks / "my_captions.yaml").write_text(text)
    code = next(text for text in of_page("extending", "python") if "my_metric.py" in text)
    (tasks / "my_metric.py").write_text(code)
    figures = evaluate(
        tmp_path,
        monkeypatch,
        folder / "captions.jsonl",
        "captions",
        task="my_captions",
        include=str(tasks),
    )
    assert 20 <= figures["average,none"] <= 100
    assert ("visual,none" in figures) is not own_metric
    assert figures.get("words,none") == (8 if own_metric else None)
    found = tmp_path / "results" / "captions"
    (rows,) = found.glob("*_samples_my_captions.jsonl")
    assert main(["show", str(rows)]) == 0
    assert main(["submit", str(found), "-o", str(tmp_path / "bundle")]) == 0
    stated = json.loads((tmp_path / "bundle" / "bundle.json").read_text("utf-8"))
    assert stated["tasks"]["my_captions"]["of_benchmark"] is False
    assert main(["verify", str(tmp_path / "bundle")]) == 0


def test_rows_are_read_by_pandas_as_the_page_has_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    made = next((folder / "results" / "new").glob("*_samples_ugc_videocap.jsonl"))
    shutil.copy(made, tmp_path / "samples.jsonl")
    monkeypatch.chdir(tmp_path)
    code = next(text for text in of_page("extending", "python") if "pandas" in text)
    exec(compile(code, "docs/extending.md", "exec"), {})  # noqa: S102 - our own page
    assert "average" in capsys.readouterr().out


def test_the_functions_for_notebooks_do_what_the_page_has_them_do(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = of_page("commands", "python")
    exec(compile(code, "docs/commands.md", "exec"), {})  # noqa: S102 - our own page
    printed = capsys.readouterr().out
    assert "average_estimate" in printed
    assert "distinguishable" in printed or "better" in printed
