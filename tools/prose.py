"""Check the English of Markdown, or with --code of Python and JavaScript, as CONTRIBUTING.md asks.

`tools/prose.py README.md docs` checks Markdown: banned words, lines of more than 120 characters,
and lines with two sentences. `tools/prose.py --code trainhub static` checks the words of comments,
docstrings and texts. Prints `file:line: fault` for each fault, and exits with 1 if there is one.
"""

import argparse
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

BANNED = re.compile(
    r"\b(?:(?i:who(?:m|ever|mever)|(?:some|no|any|every)body|anew|beside|but\s+for|one\s+that"
    r"|at\s+the\s+most|so\s+many)|(?i:is|are|was|were)\s+none)\b"
)
LINE_LIMIT = 120
MARKDOWN, CODE = {".md"}, {".py", ".js", ".mjs", ".ts"}
SKIPPED_FOLDERS = {"node_modules", "build"}

FENCE = re.compile(r" *(?:```|~~~)")
CODE_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
LINK_TARGET = re.compile(r"\]\([^)]*\)")
LIST_MARKER = re.compile(r"\s*(?:[-*>]|\d+\.)\s+")
# A sentence's end within a line. A letter alone before the period is part of "e.g." or "U.S.".
SECOND_SENTENCE = re.compile(r"(?:[^\W\d_]{2}|[\d)\]`*\"])[.?!][)*\"]? +[\"*(\[`]*[A-Z]")
# A comment or a text of JavaScript, in that order of precedence.
SCRIPT_TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`""", re.DOTALL
)

Fault = tuple[int, str]


def markdown_faults(text: str) -> Iterator[Fault]:
    """Yield the faults of a Markdown page. Code blocks are not checked, tables may be wide."""
    in_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if FENCE.match(line):
            in_code = not in_code
            continue
        if in_code or line.startswith("    "):
            continue
        prose = CODE_SPAN.sub("`…`", LINK_TARGET.sub("]", line))
        for word in BANNED.findall(prose):
            yield number, f'"{word}"'
        if line.startswith("|"):
            continue
        length = len(LINK_TARGET.sub("]", line))
        if length > LINE_LIMIT:
            yield number, f"{length} characters; at most {LINE_LIMIT}"
        if SECOND_SENTENCE.search(LIST_MARKER.sub("", prose, count=1)):
            yield number, "two sentences; one per line"


def python_texts(text: str) -> Iterator[tuple[int, str]]:
    """Yield each comment and each string literal with its first line's number."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            yield token.start[0], token.string


def script_texts(text: str) -> Iterator[tuple[int, str]]:
    """Yield each comment and each string literal with its first line's number."""
    for found in SCRIPT_TEXT.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found.group()


def code_faults(texts: Iterator[tuple[int, str]]) -> Iterator[Fault]:
    """Yield the banned words of comments and string literals."""
    for first, text in texts:
        for found in BANNED.finditer(text):
            word = " ".join(found.group().split())
            yield first + text.count("\n", 0, found.start()), f'"{word}"'


def faults(path: Path) -> Iterator[Fault]:
    """Yield the faults of a file, by its kind."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in MARKDOWN:
        return markdown_faults(text)
    return code_faults(python_texts(text) if path.suffix == ".py" else script_texts(text))


def files(paths: list[Path], suffixes: set[str]) -> Iterator[Path]:
    """Yield the files that are named, and those with such a suffix in the folders named."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for each in sorted(path.rglob("*")):
            folders = each.relative_to(path).parts[:-1]
            hidden = any(name in SKIPPED_FOLDERS or name.startswith(".") for name in folders)
            if each.suffix in suffixes and not hidden:
                yield each


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--code", action="store_true", help="check Python and JavaScript")
    parser.add_argument("paths", nargs="+", type=Path, help="files and folders")
    given = parser.parse_args(arguments)
    found = 0
    for path in files(given.paths, CODE if given.code else MARKDOWN):
        for line, fault in faults(path):
            found += 1
            print(f"{path}:{line}: {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
