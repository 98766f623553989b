"""A check of what a hub sends and accepts against docs/asyncapi.yaml and docs/openapi.yaml."""

import functools
import re
from collections import Counter
from pathlib import Path

import fastjsonschema
import yaml

DOCS = Path(__file__).parents[1] / "docs"
# The statuses for addresses and methods that the hub does not have.
_NOWHERE = {"400", "403", "404", "405", "413", "421", "429", "503"}


@functools.cache
def asyncapi():
    return yaml.load((DOCS / "asyncapi.yaml").read_text(), yaml.CSafeLoader)


@functools.cache
def openapi():
    return yaml.load((DOCS / "openapi.yaml").read_text(), yaml.CSafeLoader)


@functools.cache
def sent_by(action):
    """Return the message types of the hub's operations with this action: "send" or "receive"."""
    found = set()
    for operation in asyncapi()["operations"].values():
        parts = [operation] if operation["action"] == action else []
        if action == "send" and "reply" in operation:
            parts.append(operation["reply"])
        found |= {ref["$ref"].rpartition("/")[2] for part in parts for ref in part["messages"]}
    return found


def error_codes():
    return set(asyncapi()["components"]["schemas"]["ErrorCode"]["enum"])


def operations():
    """Return each operation of openapi.yaml, by (method, path)."""
    return {
        (method.upper(), path): operation
        for path, methods in openapi()["paths"].items()
        for method, operation in methods.items()
    }


@functools.cache
def check(document, *keys):
    """Return a function that raises if its argument does not fit the schema at these keys."""
    part = document()
    for key in keys:
        part = part[key]
    whole_schema = {"allOf": [part], "components": {"schemas": document()["components"]["schemas"]}}
    return fastjsonschema.compile(whole_schema)


def compile_messages():
    """Compile the schema of every message now, so that tests of memory do not count it."""
    for action in ("send", "receive"):
        for kind in sent_by(action):
            check(asyncapi, "components", "messages", kind, "payload")


@functools.cache
def _addresses():
    """Return each path of openapi.yaml with its pattern, paths without parameters first."""
    paths = sorted(openapi()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"{\w+}", "[^/]+", path)), path) for path in paths]


def address_of(path):
    """Return the path of openapi.yaml that fits an address, or None."""
    found = (name for pattern, name in _addresses() if pattern.fullmatch(path))
    return next(found, None)


class Recorder:
    """A check of messages and answers against the contract; `faults` has what does not fit.

    `seen` counts what came by: ("sent", type), ("heard", type), ("code", code), ("answer", method,
    path, status).
    """

    def __init__(self):
        self.seen = Counter()
        self.faults = []

    def sent(self, message):
        """Check a message from the hub."""
        kind = message.get("type")
        if kind not in sent_by("send"):
            self.faults.append(f"the hub sent {kind}, which asyncapi.yaml does not know")
            return
        self._hold(("sent", kind), message, asyncapi, "components", "messages", kind, "payload")
        if kind == "ERROR":
            self.seen["code", message.get("code")] += 1

    def heard(self, message):
        """Check a message that a client sent and the hub accepted."""
        kind = message["type"]
        if kind not in sent_by("receive"):
            self.faults.append(f"the hub took {kind}, which asyncapi.yaml does not know")
            return
        self._hold(("heard", kind), message, asyncapi, "components", "messages", kind, "payload")

    def asked(self, method, path, body):
        """Check a command's body over HTTP that the hub accepted."""
        address = address_of(path)
        keys = ("paths", address, method.lower(), "requestBody", "content", "application/json")
        self._hold(("asked", method, address), body, openapi, *keys, "schema")

    def answered(self, method, path, status, body, kind="application/json"):
        """Check an answer over HTTP; `body` is its JSON, or None for another kind."""
        address = address_of(path)
        if method == "HEAD":  # as GET, without the body; openapi.yaml says so once
            method, kind = "GET", ""
        operation = operations().get((method, address))
        if operation is None:
            if method == "OPTIONS" and status == 204:
                return  # a browser's preflight, which openapi.yaml does not list
            if str(status) not in _NOWHERE:
                self.faults.append(f"{method} {path} is not in openapi.yaml, and gave {status}")
            elif body is not None:
                self._hold(("answer", "nowhere", status), body, openapi, *_ERROR)
            return
        place = ("answer", method, address, status)
        response = operation["responses"].get(str(status))
        if response is None:
            self.faults.append(f"{method} {address} gave {status}, which openapi.yaml does not say")
            return
        if "$ref" in response:
            keys = tuple(response["$ref"].removeprefix("#/").split("/"))
            response = openapi()["components"]["responses"][keys[-1]]
        else:
            keys = ("paths", address, method.lower(), "responses", str(status))
        if body is None or "*/*" in response.get("content", {}):  # a file; its content may be JSON
            self.seen[place] += 1
            if kind and not {kind, "*/*"} & response.get("content", {}).keys():
                self.faults.append(f"{method} {address} gave {status} as {kind}")
            return
        self._hold(place, body, openapi, *keys, "content", kind, "schema")
        if "error" in body:
            self.seen["code", body["error"].get("code")] += 1

    def _hold(self, place, value, document, *keys):
        self.seen[place] += 1
        try:
            check(document, *keys)(value)
        except fastjsonschema.JsonSchemaValueException as error:
            self.faults.append(f"{' '.join(map(str, place))}: {error.message}; in {value!r:.600}")
        except KeyError as error:
            self.faults.append(f"{' '.join(map(str, place))}: the contract has no {error}")


_ERROR = ("components", "schemas", "ErrorAnswer")
