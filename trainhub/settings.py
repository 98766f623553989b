"""The hub's settings: command line before environment before .env before default."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from dotenv import dotenv_values

from trainhub import __version__


class BadSettings(Exception):
    """An option or variable cannot be used; the message is one line that says what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `python run.py` was asked for."""

    address: str = "127.0.0.1"
    port: int = 8888
    data_dir: Path = Path("data")
    mongodb_uri: str | None = field(default=None, repr=False)  # it may hold a password
    database: str = "trainhub"
    charts: Path | None = None
    anonymous: bool = True
    max_connections: int = 10_000
    max_connections_per_address: int = 1_000
    max_unsent_bytes: int = 1 << 20
    message_rate: int = 20
    staff_message_rate: int = 2_000
    identify_seconds: int = 10
    heartbeat_seconds: int = 25
    journal_limit: int = 4096
    log_format: str = "text"
    demo: bool = False
    timetable: Path | None = None
    demo_speed: float = 60.0
    demo_seed: int = 1


@dataclass(frozen=True, kw_only=True)
class TokenRequest:
    """What `python run.py token` was asked for."""

    role: str
    user: str
    trains: tuple[str, ...]
    hours: float
    data_dir: Path


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """What `python run.py check` was asked for."""

    data_dir: Path


def _whole(least: int, most: int) -> Any:
    def read(text: str) -> int:
        if text.isascii() and text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"a whole number from {least} to {most}, not {text!r}")

    return read


def _number(least: float, most: float) -> Any:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1
        if least <= value <= most:
            return value
        raise argparse.ArgumentTypeError(f"a number from {least:g} to {most:g}, not {text!r}")

    return read


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a text that is not empty")
    return text


def _one_of(*words: str) -> Any:
    def read(text: str) -> str:
        if text in words:
            return text
        raise argparse.ArgumentTypeError(f"one of {', '.join(words)}, not {text!r}")

    return read


def _switch(text: str) -> bool:
    return bool(_one_of("on", "off")(text) == "on")


# Option → how its text is read, and what it is for. The defaults stand in Settings.
_OPTIONS: dict[str, tuple[Any, str]] = {
    "address": (_text, "address to listen on (127.0.0.1)"),
    "port": (_whole(0, 65535), "port to listen on; 0 takes a free one (8888)"),
    "data_dir": (Path, "folder for the journal, keys and embedded database (./data)"),
    "mongodb_uri": (str, "MongoDB server to use in place of the embedded one"),
    "database": (_text, "database name in MongoDB (trainhub)"),
    "charts": (Path, "folder of charts to load at start: NAME.json, with NAME.csv beside it"),
    "anonymous": (_switch, "on or off: may those without a token subscribe and read runs (on)"),
    "max_connections": (_whole(1, 1_000_000), "open sockets at the most (10000)"),
    "max_connections_per_address": (
        _whole(1, 1_000_000),
        "open sockets from one address at the most, but for this machine's own (1000)",
    ),
    "max_unsent_bytes": (
        _whole(1024, 1 << 30),
        "bytes that may wait for a client that reads too slowly (1048576)",
    ),
    "message_rate": (
        _whole(1, 1_000_000),
        "messages a second from a passenger's socket, or one without a token (20)",
    ),
    "staff_message_rate": (_whole(1, 1_000_000), "messages a second from others' sockets (2000)"),
    "identify_seconds": (
        _whole(1, 3600),
        "seconds that a new socket has to identify or subscribe (10)",
    ),
    "heartbeat_seconds": (
        _whole(1, 3600),
        "seconds from ping to ping; who is silent for two is dropped (25)",
    ),
    "journal_limit": (_whole(1, 1_000_000), "MB of journal at which commands are refused (4096)"),
    "log_format": (_one_of("text", "json"), "text or json, to stderr (text)"),
    "timetable": (Path, "timetable file (.json or .json.gz) for the demo's trains"),
    "demo_speed": (_number(0.1, 10_000), "seconds of the demo's clock in one real second (60)"),
    "demo_seed": (_whole(0, 2**31), "seed of the demo's made-up passengers and delays (1)"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadSettings(f"{_without_addresses(message)} (see python run.py --help)")


def read_settings(
    arguments: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    env_file: Path = Path(".env"),
) -> Settings | TokenRequest | CheckRequest:
    """What the command line asks for. Raises BadSettings; --help and --version exit."""
    outside = _outside(environment, env_file)
    if arguments[:1] == ["token"]:
        return _token_request(arguments[1:], outside)
    if arguments[:1] == ["check"]:
        return _check_request(arguments[1:])
    given = vars(_hub_parser().parse_args(arguments))
    values = {name: value for name, value in given.items() if value is not None}
    for name, (read, _) in _OPTIONS.items():
        text = outside.get(f"TRAINHUB_{name.upper()}")
        if name not in values and text:
            values[name] = _read(read, text, f"TRAINHUB_{name.upper()}")
    text = outside.get("TRAINHUB_DEMO")
    if "demo" not in values and text:
        values["demo"] = _read(_switch, text, "TRAINHUB_DEMO")
    return Settings(**values)


def _outside(environment: Mapping[str, str], env_file: Path) -> dict[str, str]:
    try:
        found = dotenv_values(env_file) if env_file.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{env_file} cannot be read as text in UTF-8: {error}") from None
    return {name: text for name, text in found.items() if text} | dict(environment)


def _read(read: Any, text: str, name: str) -> Any:
    try:
        return read(text)
    except argparse.ArgumentTypeError as error:
        raise BadSettings(f"{name} is {_without_addresses(str(error))}") from None


def _without_addresses(message: str) -> str:
    """The message up to a URI's host: whoever misspells an option has its password in it."""
    return re.sub("://.*", "://…", message, flags=re.DOTALL)


def _hub_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python run.py",
        description="The real-time hub of a railway. `python run.py token --help` makes a "
        "token, `python run.py check DATA_DIR` looks into a data folder.",
        epilog="Each option is also a variable TRAINHUB_…, in the environment or in .env.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"trainhub {__version__}")
    for name, (read, text) in _OPTIONS.items():
        parser.add_argument(_flag(name), type=read, help=text, metavar=name.upper())
    parser.add_argument(
        "--demo", action="store_true", default=None, help="run real trains in accelerated time"
    )
    return parser


def _token_request(arguments: Sequence[str], outside: Mapping[str, str]) -> TokenRequest:
    parser = _Parser(
        prog="python run.py token",
        description="Print a signed token, and nothing else.",
        allow_abbrev=False,
    )
    roles = _one_of("PASSENGER", "TTE", "ADMIN", "SERVICE")
    parser.add_argument("--role", required=True, type=roles, help="PASSENGER, TTE, ADMIN, SERVICE")
    parser.add_argument("--user", required=True, help="who: a passenger's irctcId, a TTE's number")
    parser.add_argument("--train", required=True, help='12345[,12346/2026-11-23…], or "*" for all')
    parser.add_argument("--hours", type=_number(0.01, 24 * 366), default=12.0, help="validity (12)")
    parser.add_argument("--data-dir", type=Path, help="the hub's data folder (./data)")
    given = parser.parse_args(arguments)
    folder = given.data_dir or Path(outside.get("TRAINHUB_DATA_DIR") or Settings.data_dir)
    trains = tuple(name for part in given.train.split(",") if (name := part.strip()))
    if not trains or not given.user.strip():
        raise BadSettings("--train and --user name at least one train and somebody")
    return TokenRequest(
        role=given.role, user=given.user, trains=trains, hours=given.hours, data_dir=folder
    )


def _check_request(arguments: Sequence[str]) -> CheckRequest:
    parser = _Parser(
        prog="python run.py check",
        description="Say what a data folder holds, and whether it is sound. Changes nothing.",
        allow_abbrev=False,
    )
    parser.add_argument("data_dir", type=Path, help="a hub's data folder")
    return CheckRequest(data_dir=parser.parse_args(arguments).data_dir)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
