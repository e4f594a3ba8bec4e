"""The texts that lmms-eval's installed models may give for an answer where they failed.

Read from the source, by its syntax tree, because most of these models cannot be imported without
their own packages. Where one of an f-string's values stands is ``X``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

_FAILURE = re.compile(
    r"error|fail|block|exceed|too (?:long|large|short|many)|no (?:response|answer|output|video)"
    r"|cannot|can ?not|can't|unable|invalid|timed? ?out|refus|missing|skip|sorry|unsupported"
    r"|^n/a$|^none$|^null$",
    re.IGNORECASE,
)


def models_folder() -> Path:
    spec = find_spec("lmms_eval")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models"


def placeholders() -> Iterator[tuple[str, str]]:
    """Yield each model (``chat.openai``) and a text: of an exception's handler, or of a failure."""
    root = models_folder()
    for path in sorted([*root.glob("chat/*.py"), *root.glob("simple/*.py")]):
        name = f"{path.parent.name}.{path.stem}"
        for text, handled in _given(ast.parse(path.read_text("utf-8")), False):
            if handled or _FAILURE.search(text):
                yield name, text


def _given(node: ast.AST, handled: bool) -> Iterator[tuple[str, bool]]:
    """Yield what is returned, assigned, appended or made a result of below a node."""
    for child in ast.iter_child_nodes(node):
        within = handled or isinstance(child, ast.ExceptHandler)
        value: ast.AST | None = None
        if isinstance(child, ast.Return | ast.Assign | ast.AnnAssign | ast.AugAssign):
            value = child.value
        elif isinstance(child, ast.Call) and child.args:
            called = child.func.attr if isinstance(child.func, ast.Attribute) else ""
            value = child.args[-1] if called in {"append", "extend", "insert"} else None
        elif isinstance(child, ast.ListComp):
            value = child.elt
        for text in _texts(value):
            yield text, within
        yield from _given(child, within)


def _texts(value: ast.AST | None) -> Iterator[str]:
    """Yield the texts that a value may be."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        yield "".join(p.value if isinstance(p, ast.Constant) else "X" for p in value.values)
    elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Mult):
        left, right = list(_texts(value.left)), list(_texts(value.right))
        if isinstance(value.op, ast.Mult) or not (left or right):
            yield from left
        else:
            yield from (a + b for a in left or ["X"] for b in right or ["X"])
    elif isinstance(value, ast.IfExp | ast.BoolOp | ast.Tuple | ast.List):
        for part in value.values if isinstance(value, ast.BoolOp) else ast.iter_child_nodes(value):
            yield from _texts(part)
    elif isinstance(value, ast.Call) and getattr(value.func, "id", "") == "GenerationResult":
        for keyword in value.keywords:
            if keyword.arg == "text":
                yield from _texts(keyword.value)
