"""What the model's modules may not use: a checkpoint must never run code."""

import ast
from pathlib import Path

import dragoman.model
import pytest

PACKAGE = Path(dragoman.model.__path__[0])
MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
TORCH_FILES = {"torch.load", "torch.save", "torch.hub", "torch.jit.load"}
# Reads other people's pytorch_model.bin, but no code from it; the name of the error comes from pickle.
FOREIGN = "interchange/marian.py"
FOREIGN_USES = {"pickle.UnpicklingError", "torch.load"}


def uses(tree: ast.Module) -> set[str]:
    """Names that a module imports from modules that unpickle, and what of torch reads or writes pickles."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = [alias.name for node in imports for alias in node.names]
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    names += [f"{node.module}.{alias.name}" for node in froms for alias in node.names]
    attributes = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in names if name.partition(".")[0] in UNPICKLING} | (attributes & TORCH_FILES)


@pytest.mark.parametrize("module", [module for module in MODULES if module != FOREIGN])
def test_module_does_not_unpickle(module: str) -> None:
    assert uses(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))) == set()


def test_foreign_weights_are_read_without_running_code() -> None:
    tree = ast.parse((PACKAGE / FOREIGN).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"]
    safe = [ast.unparse(word) for node in calls for word in node.keywords if word.arg == "weights_only"]

    assert uses(tree) <= FOREIGN_USES
    assert safe == ["weights_only=True"] * len(calls) != []
