"""Which part may know which: every import of the sources is read, and must go down."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Top to bottom. A part may import what stands below it, never what stands beside or above it.
LAYERS = (
    ("run",),
    ("trainhub.server",),
    ("trainhub.admin",),
    ("trainhub.web", "trainhub.adapters"),
    ("trainhub.demo", "trainhub.session", "trainhub.charts"),
    ("trainhub.hub", "trainhub.stores"),
    ("trainhub.subscriptions", "trainhub.deliveries", "trainhub.audit"),
    ("trainhub.lookups", "trainhub.snapshots"),
    (
        "trainhub.rooms",
        "trainhub.documents",
        "trainhub.answers",
        "trainhub.retention",
        "trainhub.letters",
    ),
    ("trainhub.presence", "trainhub.permissions", "trainhub.which_run"),
    (
        "trainhub.protocol",
        "trainhub.history",
        "trainhub.write_buffer",
        "trainhub.notifications",
        "trainhub.lateness",
    ),
    ("trainhub.log", "trainhub.identity"),
    ("trainhub.journal", "trainhub.revocations", "trainhub.clock"),
    ("trainhub.signals",),
    ("trainhub.lease",),
    ("trainhub.lineage",),
    (
        "trainhub.keys",
        "trainhub.file_watch",
        "trainhub.diagnostics",
        "trainhub.timers",
        "trainhub.health",
        "trainhub.loop_watch",
        "trainhub.cost",
        "trainhub.shares",
        "trainhub.breaker",
        "trainhub.deflate",
    ),
    ("trainhub.settings", "trainhub.timetable", "trainhub.client", "trainhub.lines"),
    ("trainhub.domain",),
    ("trainhub",),  # its __init__: the version
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
# What some parts may import of the project, where that is less than all that is below them.
ONLY = {
    "trainhub.adapters": {
        "trainhub.cost",
        "trainhub.journal",
        "trainhub.notifications",
        "trainhub.write_buffer",
        "trainhub.lease",
        "trainhub.lineage",
        "trainhub.domain",
    },
    "trainhub.lineage": set(),
    "trainhub.keys": set(),
    "trainhub.file_watch": set(),
    "trainhub.diagnostics": {"trainhub.lines"},
    "trainhub.signals": {"trainhub.diagnostics"},
    "trainhub.lines": set(),
    "trainhub.health": set(),
    "trainhub.loop_watch": set(),
    "trainhub.cost": set(),
    "trainhub.shares": set(),
    "trainhub.breaker": set(),
    "trainhub.deflate": set(),
    "trainhub.timers": set(),
    "trainhub.client": set(),  # it is an app's own, as well as the demo's
    "trainhub.settings": {"trainhub"},
    "trainhub.timetable": {"trainhub"},
    "trainhub.domain": set(),
    "trainhub": set(),
}
# Folders whose __init__ hands on what its modules have: an app imports from the folder itself.
FACES = {"trainhub.client"}
# Packages that only these parts may import.
EDGES = {
    "tornado": {"trainhub.web", "trainhub.server", "trainhub.timers"},
    "motor": {"trainhub.adapters"},
    "pymongo": {"trainhub.adapters"},
    "bson": {"trainhub.adapters"},
    "sqlite3": {"trainhub.adapters"},
    "websockets": {"trainhub.client"},
    "jwt": {"trainhub.identity", "trainhub.keys"},
}


def read_sources() -> dict[str, str]:
    """Module name → source text, of all that a hub is made of."""
    paths = [ROOT / "run.py", *sorted((ROOT / "trainhub").rglob("*.py"))]
    return {module_of(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths}


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


SOURCES = read_sources()


def part_of(module: str) -> str:
    """The part of LAYERS that a module of the project belongs to: a file, or one of the folders."""
    return ".".join(module.split(".")[:2])


def is_ours(module: str) -> bool:
    return module.split(".")[0] in ("trainhub", "run")


def imports_of(module: str, sources: dict[str, str]) -> set[str]:
    """The modules that a module imports, a name taken from a package being the module it is."""
    found = set()
    for node in ast.walk(ast.parse(sources[module])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively: name the module in full"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in sources else node.module)
    return found


def wrong_arrows(sources: dict[str, str]) -> Iterator[str]:
    """Each import that does not go down, or that its part may not have."""
    for module in sources:
        part = part_of(module)
        for target in filter(is_ours, imports_of(module, sources)):
            if target not in sources:
                yield f"{module} imports {target}, which is not there"
                continue
            other = part_of(target)
            within = part == other and (module != part or part in FACES)
            if not within and RANK[other] <= RANK[part]:
                yield f"{module} imports {target}, which is not below it"
            elif not within and other not in ONLY.get(part, RANK):
                yield f"{module} imports {target}, which it may not"


def circles(sources: dict[str, str]) -> list[list[str]]:
    """The paths of imports that come back to where they began."""
    arrows = {each: sorted(imports_of(each, sources) & sources.keys()) for each in sources}
    found, done = [], set()

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for target in arrows[module]:
                walk(target, [*path, module])
            done.add(module)

    for module in arrows:
        walk(module, [])
    return found


def late_imports(source: str) -> list[int]:
    """The lines where something is imported only when a function runs."""
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


def test_every_part_has_its_layer():
    """A file or folder that LAYERS does not name has no place in the house."""
    assert {part_of(module) for module in SOURCES} == RANK.keys()


def test_every_import_goes_down():
    """No part imports what stands beside or above it; adapters and web never meet."""
    assert list(wrong_arrows(SOURCES)) == []


def test_there_is_no_circle():
    """Not even between the modules of one folder."""
    assert circles(SOURCES) == []


@pytest.mark.parametrize("module", SOURCES)
def test_nothing_is_imported_late(module):
    """A circle hidden in a function is a circle."""
    assert late_imports(SOURCES[module]) == []


@pytest.mark.parametrize("module", SOURCES)
def test_what_touches_the_world_stays_at_the_edge(module):
    """Tornado is in web/ and server.py only, the databases in adapters/ only."""
    for package in {target.split(".")[0] for target in imports_of(module, SOURCES)}:
        assert part_of(module) in EDGES.get(package, RANK), f"{module} imports {package}"


@pytest.mark.parametrize("module", [m for m in SOURCES if part_of(m) == "trainhub.domain"])
def test_the_domain_knows_the_standard_library_only(module):
    """The rules of the railway need no package and no other part of the hub."""
    for target in imports_of(module, SOURCES):
        standard = target.split(".")[0] in sys.stdlib_module_names
        assert standard or part_of(target) == "trainhub.domain"


@pytest.mark.parametrize("module", SOURCES)
def test_every_module_says_what_it_is_for(module):
    """The first lines of a file tell a reader whether to read on."""
    assert ast.get_docstring(ast.parse(SOURCES[module]))


@pytest.mark.parametrize("module", [m for m in SOURCES if m.startswith("trainhub.")])
def test_every_source_file_has_its_test_file(module):
    """trainhub/x/y.py is tested in tests/x/test_y.py."""
    path = ROOT.joinpath(*module.split("."))
    if not path.is_dir():
        *folders, name = module.split(".")[1:]
        test = ROOT.joinpath("tests", *folders, f"test_{name}.py")
        assert test.is_file(), f"{test.relative_to(ROOT)} is not there"


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("trainhub.hub", "import trainhub.server", "is not below it"),
        ("trainhub.rooms", "from trainhub import documents", "is not below it"),
        ("trainhub.journal", "from trainhub.protocol import parse", "is not below it"),
        ("trainhub.adapters.mongo", "from trainhub.web import base", "is not below it"),
        ("trainhub.web.base", "from trainhub.adapters.mongo import MongoStore", "not below"),
        ("trainhub.adapters.outbox", "from trainhub.protocol import encode", "it may not"),
        ("trainhub.settings", "from trainhub.domain.model import Role", "it may not"),
        ("trainhub.domain.model", "import trainhub.journal", "is not below it"),
        ("trainhub.hub", "from trainhub.attic import junk", "is not there"),
    ],
)
def test_a_wrong_arrow_is_seen(module, line, said):
    """The check itself: each kind of wrong import in a sound house is found, and only it."""
    planted = {**SOURCES, module: f"{SOURCES[module]}\n{line}\n"}
    (found,) = set(wrong_arrows(planted)) - set(wrong_arrows(SOURCES))
    assert found.startswith(module)
    assert said in found


def test_a_circle_and_a_late_import_are_seen():
    """The check itself."""
    planted = {
        "trainhub.web.a": "import trainhub.web.b",
        "trainhub.web.b": "from trainhub.web import c",
        "trainhub.web.c": "from trainhub.web.a import x",
        "trainhub.web": "",
    }
    assert circles(planted) == [
        ["trainhub.web.a", "trainhub.web.b", "trainhub.web.c", "trainhub.web.a"]
    ]
    assert late_imports("import a\ndef f():\n    import b\n    import_module('c')\n") == [3, 4]
