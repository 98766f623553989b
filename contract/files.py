"""The generated files. Some are generated as a whole, others only between marks."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from contract import asyncapi, openapi, tables, typescript

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STATIC = ROOT / "static"
CLIENT_TYPES = STATIC / "trainhub.d.ts"


# The generated part of a file that is otherwise written by hand, with its first and last line.
_PART = re.compile(
    r"^(?P<start>(?:<!--|//) generated: (?P<name>[a-z -]+?)(?: -->)?)\n"
    r".*?^(?P<end>(?:<!--|//) end)",
    re.MULTILINE | re.DOTALL,
)


def generated() -> dict[Path, str]:
    """Return each generated file with its text."""
    pages = [path for path in sorted(DOCS.rglob("*.md")) if _PART.search(path.read_text("utf-8"))]
    types = _filled(CLIENT_TYPES.read_text("utf-8"))
    return {
        CLIENT_TYPES: types,
        STATIC / "trainhub.d.cts": types,
        STATIC / "trainhub.cjs": _commonjs((STATIC / "trainhub.js").read_text("utf-8")),
        STATIC / "LICENSE": (ROOT / "LICENSE").read_text("utf-8"),
        DOCS / "asyncapi.yaml": _yaml(asyncapi.document()),
        DOCS / "openapi.yaml": _yaml(openapi.document()),
        **{path: _filled(path.read_text("utf-8")) for path in pages},
    }


def _commonjs(module: str) -> str:
    """Return an ES module as a CommonJS one. The module must have no imports."""
    names = re.findall(r"^export (?:const|class) (\w+)", module, re.MULTILINE)
    plain = re.sub(r"^export (?=const |class )", "", module, flags=re.MULTILINE)
    return (
        "// Generated from trainhub.js by `make contract`: for CommonJS.\n"
        f"{plain}\nmodule.exports = {{ {', '.join(names)} }};\n"
    )


def _filled(text: str) -> str:
    """Return the text with its parts generated again."""
    return _PART.sub(lambda part: f"{part['start']}\n{_made(part['name'])}\n{part['end']}", text)


def _made(name: str) -> str:
    return typescript.declarations() if name == "types" else f"\n{tables.TABLES[name]()}\n"


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
