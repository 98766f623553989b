"""The rules of the house that import-linter does not check: files and late imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_FLAT = 8


CLIENT = ROOT / "clients" / "python"


def _module(path: Path) -> str:
    root = CLIENT if path.is_relative_to(CLIENT) else ROOT
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {
    _module(path): path.read_text("utf-8")
    for path in [
        ROOT / "run.py",
        *sorted((ROOT / "trainhub").rglob("*.py")),
        *sorted((CLIENT / "trainhub_client").rglob("*.py")),
    ]
}


def late_imports(source: str) -> list[int]:
    """Return the lines where something is imported only when a function runs."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    lines = set()
    for outer in ast.walk(ast.parse(source)):
        if isinstance(outer, ast.Call):
            called = ast.unparse(outer.func)
            if called in ("__import__", "import_module", "importlib.import_module"):
                lines.add(outer.lineno)
        if isinstance(outer, functions):
            inner = ast.walk(outer)
            lines |= {n.lineno for n in inner if isinstance(n, ast.Import | ast.ImportFrom)}
    return sorted(lines)


def test_few_files_lie_flat():
    """Only the composition root and its options are outside the package's folders."""
    assert len(list((ROOT / "trainhub").glob("*.py"))) <= MOST_FLAT


@pytest.mark.parametrize("module", SOURCES)
def test_nothing_is_imported_late(module):
    """A circular import hidden in a function is still circular."""
    assert late_imports(SOURCES[module]) == []


@pytest.mark.parametrize("module", SOURCES)
def test_arguments_are_written_out(module):
    """No `f(*(a, b))`: arguments stand by position or name."""
    calls = (n for n in ast.walk(ast.parse(SOURCES[module])) if isinstance(n, ast.Call))
    stars = (a.value for call in calls for a in call.args if isinstance(a, ast.Starred))
    assert [each.lineno for each in stars if isinstance(each, ast.Tuple | ast.List)] == []


@pytest.mark.parametrize("module", SOURCES)
def test_every_module_says_what_it_is_for(module):
    """The first lines of a file tell a reader whether to read on."""
    assert ast.get_docstring(ast.parse(SOURCES[module]))


# Types and tables from which the contract is generated: tests/test_contract.py checks them.
DESCRIPTIONS = {
    "trainhub.core.about",
    "trainhub.domain.fields",
    "trainhub.domain.shapes",
    "trainhub.hub.messages",
    "trainhub.web.close_codes",
    "trainhub.hub.figures",
    "trainhub.web.routes",
}


@pytest.mark.parametrize("module", [m for m in SOURCES if "." in m and m not in DESCRIPTIONS])
def test_every_source_file_has_its_test_file(module):
    """trainhub/x/y.py is tested in tests/x/test_y.py, trainhub_client/y.py in tests/client."""
    path = ROOT.joinpath(*module.split("."))
    if not path.is_dir():
        *folders, name = module.replace("trainhub_client", "trainhub.client").split(".")[1:]
        test = ROOT.joinpath("tests", *folders, f"test_{name}.py")
        assert test.is_file(), f"{test.relative_to(ROOT)} does not exist"


def test_a_late_import_is_seen():
    """The check itself."""
    assert late_imports("import a\ndef f():\n    import b\n    import_module('c')\n") == [3, 4]
