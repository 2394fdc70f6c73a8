"""What the model's modules may not use: a checkpoint must never run code."""

import ast
from pathlib import Path

import dragoman.model
import pytest

MODULES = sorted(Path(dragoman.model.__path__[0]).rglob("*.py"))
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def imported_names(tree: ast.Module) -> set[str]:
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_module_does_not_unpickle(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    roots = {name.partition(".")[0] for name in imported_names(tree)}
    torch_files = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {
        "torch.load",
        "torch.save",
        "torch.hub",
        "torch.jit.load",
    }

    assert (roots & UNPICKLING, torch_files) == (set(), set())
