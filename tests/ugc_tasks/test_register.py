"""Whoever has the package installed has its tasks and its models, however lmms-eval is started.

lmms-eval is started in processes of its own. They take seconds, so they run side by side from the
first test on, and are few: each shows several things.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.annotations import video_ids, write_annotations
from tests.support.small_lmms_eval import link_small_lmms_eval
from ugc_tasks import register
from ugc_tasks.benchmark import SPECS

PROJECT = Path(register.TASK_DIR).parent
CLIPS = 7
TASKS = sorted(spec.task for spec in SPECS.values())
GROUP = "ugc_videocap_full"
MODELS = {
    "qwen_omni_vllm": "ugc_models.qwen_omni_vllm.QwenOmniVLLM",
    "omni_vllm": "ugc_models.qwen_omni_vllm.QwenOmniVLLM",
    "ugc_replay": "ugc_tasks.results.replay.UgcReplay",
}
HEAVY = {"torch", "vllm", "lmms_eval", "transformers", "datasets", "numpy", "av", "openai"}


def environment(*python_path: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "UGC_", "LMMS_"))}
    return clean | {"PYTHONPATH": os.pathsep.join(map(str, python_path))}


def run(code: str, *python_path: Path, flags: str = "-c") -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter."""
    done = subprocess.run(
        [sys.executable, flags, code],
        env=environment(*python_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


# --- lmms-eval's own commands ---------------------------------------------------------------------


@dataclass
class Commands:
    """Commands under way, by name; ``output`` waits for one."""

    under_way: dict[str, subprocess.Popen[str]]

    def output(self, name: str) -> str:
        out, _ = self.under_way[name].communicate(timeout=240)
        assert self.under_way[name].returncode == 0, out
        return out


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this working tree."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True, timeout=60)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module", autouse=True)
def commands(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Commands]:
    folder = tmp_path_factory.mktemp("register")
    small = link_small_lmms_eval(folder / "small")
    broken = write(
        folder / "broken",
        {
            "broken_plugin.py": "raise RuntimeError('this plugin is broken')\n",
            "broken_plugin-1.0.dist-info/METADATA": (
                "Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n"
            ),
            "broken_plugin-1.0.dist-info/entry_points.txt": (
                "[lmms_eval.models]\nbroken = broken_plugin:manifests\n"
            ),
        },
    )
    unpacked = folder / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    spec = find_spec("lmms_eval")
    assert spec is not None
    assert spec.origin is not None
    site_packages = Path(spec.origin).parents[1]

    write_annotations(folder, CLIPS)
    benchmark = {"UGC_VIDEOCAP_HOME": str(folder), "UGC_JUDGE_PROFILE": "none"}
    (folder / "videos").mkdir()
    for video_id in video_ids(CLIPS):
        (folder / "videos" / f"{video_id}.mp4").write_bytes(b"not decoded here")
    script = str(Path(sys.executable).with_name("lmms-eval"))
    starts = {
        "tasks list": ([script, "tasks", "list"], [small]),
        "models": ([script, "models"], []),
        "models, beside a broken plugin": ([script, "models"], [broken]),
        "--tasks list, beside a broken plugin": ([script, "--tasks", "list"], [small, broken]),
        "power analysis": (
            [script, "--power-analysis", "--effect-size", "0.02", "--tasks", "ugc_videocap"],
            [small],
        ),
        # -S: no .pth file is read, as where a package came by ``pip install --target``.
        "python -m, without the .pth file": (
            [sys.executable, "-S", "-m", "lmms_eval", "--tasks", "list"],
            [small, unpacked, site_packages],
        ),
    }
    running = Commands(
        {
            name: subprocess.Popen(
                command,
                env=environment(*python_path) | benchmark,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for name, (command, python_path) in starts.items()
        }
    )
    yield running
    for process in running.under_way.values():
        process.kill()
        process.communicate()


# --- the files ------------------------------------------------------------------------------------


def test_the_wheel_has_all_that_a_run_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        pth = archive.read("ugc_videocap.pth").decode()
    assert {
        "ugc_videocap.pth",
        "ugc_tasks/question.yaml",
        "ugc_tasks/ugc_videocap_full.yaml",
        "ugc_tasks/caption/ugc_videocap.yaml",
        "ugc_tasks/choice/ugc_videocap_tone.yaml",
        "ugc_tasks/ocr/ugc_videocap_ocr.yaml",
        "ugc_tasks/detail/ugc_videocap_objects.yaml",
        "ugc_tasks/judge/protocol/rubric_system.txt",
        "ugc_tasks/judge/check_pairs.json",
        "ugc_tasks/estimate/vocabulary.json",
        "ugc_tasks/estimate/weights.json",
        "ugc_tasks/judge/judges.toml",
        "ugc_tasks/judge/protocol/profile_paper.toml",
        "ugc_tasks/judge/protocol/profile_rubric.toml",
        "ugc_tasks/data/published.toml",
        "ugc_tasks/sample/final_caption_qa.json",
        "ugc_tasks/py.typed",
        "ugc_models/py.typed",
        "ugc_models/testing/chat_template.jinja",
        "ugc_models/testing/qwen2_5_omni.toml",
    } <= names
    assert sum(name.endswith(".mp4") for name in names) >= 6
    assert pth == (PROJECT / "ugc_videocap.pth").read_text()


def test_the_wheel_has_nothing_but_the_two_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "ugc_tasks",
        "ugc_models",
        "ugc_videocap.pth",
    }


# --- at the start of the interpreter --------------------------------------------------------------


def test_importing_the_packages_loads_nothing_heavy() -> None:
    code = "import sys, ugc_tasks, ugc_models; print(*{m.split('.')[0] for m in sys.modules})"
    assert not HEAVY & set(run(code).stdout.split())


def test_every_start_of_the_interpreter_loads_two_small_modules_of_ours_and_no_other() -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(PROJECT)!r})
before = set(sys.modules)
exec(open({str(PROJECT / "ugc_videocap.pth")!r}).read())
print(*sorted(set(sys.modules) - before))
"""
    loaded = run(code, flags="-Sc").stdout.split()
    assert loaded == ["__future__", "ugc_tasks", "ugc_tasks.register"]


def test_the_file_that_the_interpreter_reads_is_one_line_of_code() -> None:
    # site runs the lines of a .pth file that begin with "import", and takes others for folders.
    (line,) = (PROJECT / "ugc_videocap.pth").read_text().splitlines()
    assert line.startswith("import ")


# --- beside lmms-eval -----------------------------------------------------------------------------


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Give ``lmms_eval.tasks``, here, with no tasks of its own."""
    module = importlib.import_module("lmms_eval.tasks")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "none" / "__init__.py"))
    return module


def test_a_bare_task_manager_knows_the_tasks_and_their_group(tasks: ModuleType) -> None:
    manager = tasks.TaskManager()
    assert manager.all_subtasks == TASKS
    assert manager.all_groups == [GROUP]
    for name in (*TASKS, GROUP):
        assert manager.task_index[name]["yaml_path"].startswith(register.TASK_DIR)


def test_a_manager_without_the_default_tasks_is_without_ours(tasks: ModuleType) -> None:
    assert tasks.TaskManager(include_defaults=False).all_tasks == []


def test_the_users_own_task_of_the_same_name_wins(tasks: ModuleType, tmp_path: Path) -> None:
    own = write(tmp_path / "own", {"own.yaml": f"task: {TASKS[0]}\noutput_type: generate_until\n"})
    manager = tasks.TaskManager(include_path=str(own))
    assert manager.task_index[TASKS[0]]["yaml_path"] == str(own / "own.yaml")


def test_the_way_out_that_the_warning_names_is_one(tasks: ModuleType) -> None:
    manager = tasks.TaskManager(include_path=register.TASK_DIR, include_defaults=False)
    assert manager.all_subtasks == TASKS


def test_arming_again_changes_nothing(tasks: ModuleType) -> None:
    models = importlib.import_module("lmms_eval.models")
    extended = tasks.TaskManager.initialize_tasks
    finders = list(sys.meta_path)
    listed = dict(models.AVAILABLE_CHAT_TEMPLATE_MODELS)
    register.arm()
    register.arm()
    assert tasks.TaskManager.initialize_tasks is extended
    assert sys.meta_path == finders
    assert listed == models.AVAILABLE_CHAT_TEMPLATE_MODELS
    assert MODELS.items() <= listed.items()


def test_a_folder_of_ours_that_cannot_be_read_leaves_other_peoples_tasks(
    tasks: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = write(tmp_path / "own", {"own.yaml": "task: own\noutput_type: generate_until\n"})
    broken = write(tmp_path / "broken", {"broken.yaml": "task: [unclosed\n"})
    monkeypatch.setattr(register, "TASK_DIR", str(broken))
    with caplog.at_level(logging.WARNING, "ugc_videocap"):
        assert tasks.TaskManager(include_path=str(own)).all_tasks == ["own"]
    assert [record.name for record in caplog.records] == ["ugc_videocap"]


# --- beside another lmms-eval than the one we know ------------------------------------------------

INTACT = """
class TaskManager:
    def __init__(self):
        self.index = self.initialize_tasks()
    def initialize_tasks(self, include_path=None, include_defaults=True):
        return {"theirs": {}}
    def _get_task_and_group(self, folder):
        return {"ours": {}, "theirs": {"not": "this"}}
"""
RENAMED = {
    "a renamed method": INTACT.replace("initialize_tasks", "index_tasks"),
    "a renamed helper": INTACT.replace("_get_task_and_group", "scan"),
    "a renamed class": INTACT.replace("TaskManager", "Tasks") + "\nTaskManagerFactory = Tasks\n",
    "a helper that wants more": INTACT.replace("(self, folder)", "(self, folder, kind)"),
}
USE = """
import json, lmms_eval.tasks as tasks
manager = getattr(tasks, "TaskManager", None) or tasks.Tasks
print(json.dumps(manager().index))
"""


def other_lmms_eval(folder: Path, tasks: str = INTACT, models: str = "") -> Path:
    files = {
        "lmms_eval/__init__.py": "",
        "lmms_eval/tasks/__init__.py": tasks,
        "lmms_eval/models/__init__.py": models,
    }
    return write(folder, files)


def test_what_lmms_eval_names_itself_stays_as_it_is(tmp_path: Path) -> None:
    done = run(USE, other_lmms_eval(tmp_path))
    assert json.loads(done.stdout) == {"theirs": {}, "ours": {}}
    assert done.stderr == ""


@pytest.mark.parametrize("tasks", RENAMED.values(), ids=RENAMED)
def test_a_later_lmms_eval_costs_one_warning_that_names_the_way_out(
    tmp_path: Path, tasks: str
) -> None:
    done = run(USE, other_lmms_eval(tmp_path, tasks))
    assert json.loads(done.stdout) == {"theirs": {}}
    (warning,) = done.stderr.splitlines()
    assert f"its tasks are available with --include_path {register.TASK_DIR}" in warning


def test_a_later_model_registry_costs_one_warning(tmp_path: Path) -> None:
    done = run("import lmms_eval.models; print('on')", other_lmms_eval(tmp_path))
    assert done.stdout == "on\n"
    assert len(done.stderr.splitlines()) == 1
    assert "ugc-videocap could not register itself" in done.stderr


def test_no_lmms_eval_at_all_is_no_matter(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from ugc_tasks.register import arm
arm()
try:
    import lmms_eval.tasks
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run(code, flags="-Sc").stdout == "lmms_eval\n"


@pytest.mark.parametrize(
    "before",
    [
        "import importlib.util; importlib.util.find_spec('lmms_eval.tasks')",
        "import os; os.environ['BREAK'] = '1'\ntry: import lmms_eval.tasks\n"
        "except OSError: del os.environ['BREAK']",
    ],
    ids=["being looked for", "a failed import"],
)
def test_the_tasks_are_added_when_the_import_comes_in_the_end(tmp_path: Path, before: str) -> None:
    breakable = "import os\nif 'BREAK' in os.environ: raise OSError\n" + INTACT
    done = run(f"{before}\n{USE}", other_lmms_eval(tmp_path, breakable))
    assert "ours" in json.loads(done.stdout)


def test_the_loader_of_the_module_stays_what_it_is(tmp_path: Path) -> None:
    code = "import lmms_eval.tasks as t; print(type(t.__loader__).__name__, bool(t.__file__))"
    assert run(code, other_lmms_eval(tmp_path)).stdout == "SourceFileLoader True\n"


# --- last, for they take long ---------------------------------------------------------------------


def words(output: str) -> set[str]:
    """Return the words of an output, out of the colours that a log puts around it."""
    return set(output.replace("\x1b", " \x1b").split())


def listed(output: str) -> set[str]:
    """Return the chat models of ``lmms-eval models``."""
    lines = [line.split() for line in output.splitlines()]
    return {line[0] for line in lines if line[1:] == ["chat"]}


def test_lmms_eval_models_lists_the_models(commands: Commands) -> None:
    assert MODELS.keys() <= listed(commands.output("models"))


def test_lmms_eval_models_lists_the_models_beside_a_broken_plugin(commands: Commands) -> None:
    output = commands.output("models, beside a broken plugin")
    assert "this plugin is broken" in output, "else the plugin was not loaded at all"
    assert MODELS.keys() <= listed(output)


def test_lmms_eval_tasks_list_has_the_tasks(commands: Commands) -> None:
    assert {*TASKS, GROUP} <= words(commands.output("tasks list"))


def test_lmms_evals_power_analysis_takes_the_tasks(commands: Commands) -> None:
    said = commands.output("power analysis")
    assert f"Sample size:         n = {CLIPS}" in said
    assert "Min detectable" in said


def test_the_tasks_are_listed_beside_a_broken_plugin(commands: Commands) -> None:
    output = commands.output("--tasks list, beside a broken plugin")
    assert "this plugin is broken" in output
    assert {*TASKS, GROUP} <= words(output)


def test_the_wheel_without_its_pth_file_is_registered_by_its_entry_point(
    commands: Commands,
) -> None:
    output = commands.output("python -m, without the .pth file")
    assert {*TASKS, GROUP} <= words(output)
