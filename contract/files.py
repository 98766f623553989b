"""The generated files. Some are generated as a whole, others only between marks."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from contract import asyncapi, changes, openapi, tables, typescript

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STATIC = ROOT / "static"
CLIENT_TYPES = STATIC / "trainhub.d.ts"
STATE = STATIC / "train_state.js"
STATE_IN_PYTHON = ROOT / "clients" / "python" / "trainhub_client" / "train_state.py"


# The generated part of a file that is otherwise written by hand, with its first and last line.
_PART = re.compile(
    r"^(?P<start>(?:<!--|//|#) generated: (?P<name>[a-z -]+?)(?: -->)?)\n"
    r".*?^(?P<end>(?:<!--|//|#) end)",
    re.MULTILINE | re.DOTALL,
)


def generated() -> dict[Path, str]:
    """Return each generated file with its text."""
    pages = [path for path in sorted(DOCS.rglob("*.md")) if _PART.search(path.read_text("utf-8"))]
    types = _filled(CLIENT_TYPES.read_text("utf-8"))
    state = _filled(STATE.read_text("utf-8"))
    return {
        CLIENT_TYPES: types,
        STATIC / "trainhub.d.cts": types,
        STATE: state,
        STATE_IN_PYTHON: _filled(STATE_IN_PYTHON.read_text("utf-8")),
        STATIC / "trainhub.cjs": _commonjs((STATIC / "trainhub.js").read_text("utf-8"), state),
        STATIC / "LICENSE": (ROOT / "LICENSE").read_text("utf-8"),
        DOCS / "asyncapi.yaml": _yaml(asyncapi.document()),
        DOCS / "openapi.yaml": _yaml(openapi.document()),
        **{path: _filled(path.read_text("utf-8")) for path in pages},
    }


def _commonjs(module: str, imported: str) -> str:
    """Return an ES module, and the module that it imports, as one CommonJS module."""
    names = re.findall(r"^export (?:const|class) (\w+)", module, re.MULTILINE)
    both = re.sub(r"^import .*\n", lambda _: _plain(imported), module, flags=re.MULTILINE)
    return (
        "// Generated from trainhub.js by `make contract`: for CommonJS.\n"
        f"{_plain(both)}\nmodule.exports = {{ {', '.join(names)} }};\n"
    )


def _plain(module: str) -> str:
    """Return an ES module without its exports."""
    return re.sub(r"^export (?=const |class |function )", "", module, flags=re.MULTILINE)


def _filled(text: str) -> str:
    """Return the text with its parts generated again."""
    return _PART.sub(lambda part: f"{part['start']}\n{_made(part['name'])}\n{part['end']}", text)


def _made(name: str) -> str:
    return _CODE[name]() if name in _CODE else f"\n{tables.TABLES[name]()}\n"


# The parts that are code, by their names.
_CODE: dict[str, Callable[[], str]] = {
    "types": typescript.declarations,
    "changes in javascript": changes.in_javascript,
    "changes in python": changes.in_python,
}


def _yaml(document: dict[str, Any]) -> str:
    document = json.loads(json.dumps(document))  # so that YAML has no anchors
    style: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 100}
    text: str = yaml.safe_dump(document, default_flow_style=None, **style)
    return f"# Generated from the code by `make contract`.\n{text}"


def write(files: dict[Path, str]) -> list[Path]:
    """Write the files whose text differs, and return their paths."""
    found = [
        path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text
    ]
    for path in found:
        path.write_text(files[path], "utf-8")
    return found
