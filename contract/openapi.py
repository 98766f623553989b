"""docs/openapi.yaml: HTTP, as OpenAPI 3.1."""

import re
from typing import Annotated, Any

from contract import catalog
from contract.catalog import Order
from contract.examples import example_of_fields
from contract.notes import Field, fields_of
from contract.payloads import Payloads
from contract.schema import TOKEN, Schema
from trainhub.core.about import About
from trainhub.domain.fields import (
    CoachCode,
    OfferId,
    PersonIndex,
    Pnr,
    StartDate,
    StationCode,
    TrainNo,
)
from trainhub.hub.messages import CODES, ErrorFields, IdempotencyKey
from trainhub.hub.protocol import MOST_BODY_BYTES, MOST_SOCKET_BYTES
from trainhub.web.base import Api
from trainhub.web.routes import ROUTES, STATUSES, Route

Document = dict[str, Any]
_IN_PATH: dict[str, Any] = {
    "trainNo": TrainNo,
    "pnr": Pnr,
    "index": PersonIndex,
    "offerId": OfferId,
    "coach": CoachCode,
    "code": StationCode,
    "clientId": Annotated[str, About("The name of a socket.", example="3f0c9d2b7a61e8")],
    "file": str,
}
_DATE = "The run's start date. Without it the hub takes the run that is meant (protocol.md)."
_HEADERS = {
    401: ("WWW-Authenticate", "Bearer.", "string"),
    405: ("Allow", "The methods of the address.", "string"),
    429: ("Retry-After", "Seconds.", "integer"),
    503: ("Retry-After", "Seconds.", "integer"),
}
_SHARED = {400, 401, 403, 404, 405, 409, 410, 413, 415, 421, 429, 500, 503}
_JSON = "application/json"


def document() -> Document:
    """Return the whole document."""
    schemas = Payloads()
    paths: Document = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(schemas, route)
    responses = {f"Status{status}": _failure(schemas, status) for status in sorted(_SHARED)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "trainhub, HTTP",
            "version": "1",
            "description": 'Answers are `{"result": …}`, failures `{"error": {"code", "message", '
            f'"details"?}}}}`. A chart may have {MOST_BODY_BYTES >> 20} MB, any other body '
            f"{MOST_SOCKET_BYTES >> 10} KB. HEAD is answered wherever GET is, without the body.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://127.0.0.1:8888", "description": "A station's hub."}],
        "security": [{"token": []}],
        "tags": [
            {"name": "Commands", "description": "An answer means that the events are on disk."},
            {"name": "Reading", "description": "Each as the reader may see it."},
            {"name": "The hub itself"},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {**TOKEN, "description": "A JWT that the hub trusts."},
            },
            "parameters": _parameters(schemas),
            "responses": responses,
            "schemas": schemas.named,
        },
    }


def _parameters(schemas: Payloads) -> Document:
    found = {
        name: {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schemas.of(hint, given=True),
        }
        for name, hint in _IN_PATH.items()
    }
    found["date"] = {
        "name": "date",
        "in": "query",
        "description": _DATE,
        "schema": schemas.of(StartDate),
    }
    found["key"] = {"name": "Idempotency-Key", "in": "header", "schema": schemas.of(IdempotencyKey)}
    return found


def _operation(schemas: Payloads, route: Route) -> Document:
    order = next((each for each in catalog.orders() if each.route is route), None)
    operation: Document = {
        "operationId": route.name,
        "tags": [_tag(route)],
        "summary": route.summary,
    }
    if order is not None:
        operation["description"] = f"By: {', '.join(order.may)}."
    elif route.roles is not None:
        operation["description"] = f"For: {', '.join(catalog.in_order(route.roles))}."
    names = re.findall(r"{(\w+)}", route.path)
    shared = [*names, *(["date"] if "trainNo" in names else []), *(["key"] if order else [])]
    parameters = [{"$ref": f"#/components/parameters/{name}"} for name in shared]
    if issubclass(route.handler, Api) and route.handler.query is not None:
        parameters += [_in_query(schemas, each) for each in fields_of(route.handler.query, True)]
    if parameters:
        operation["parameters"] = parameters
    if order is not None:
        operation["requestBody"] = _body(schemas, order, names)
    elif route.body is not None:
        content = {"schema": schemas.of(route.body, given=True)}
        operation["requestBody"] = {"required": True, "content": {_JSON: content}}
    operation["responses"] = {
        str(status): _response(schemas, route, status, order) for status in sorted(route.statuses)
    }
    if route.open:
        operation["security"] = []
    elif order is None and route.roles is None:
        operation["security"] = [{}, {"token": []}]
    return operation


def _tag(route: Route) -> str:
    if route.command is not None:
        return "Commands"
    return "The hub itself" if route.bare or route.answer is None else "Reading"


def _in_query(schemas: Payloads, field: Field) -> Document:
    schema = schemas.of(field.hint, given=True)
    schema = _not_null(schema)
    text = {"description": schema["description"]} if "description" in schema else {}
    rest = {key: value for key, value in schema.items() if key != "description"}
    default = {} if field.default is None else {"default": field.default}
    return {"name": field.name, "in": "query", **text, "schema": {**rest, **default}}


def _not_null(schema: Schema) -> Schema:
    """Return the schema without null: a parameter is left out instead."""
    if "anyOf" in schema:
        (one,) = [each for each in schema.pop("anyOf") if each != {"type": "null"}]
        return {**schema, **one}
    kind = schema.get("type")
    return {**schema, "type": kind[0]} if isinstance(kind, list) else schema


def _body(schemas: Payloads, order: Order, names: list[str]) -> Document:
    """Return the body of a command: its fields without those in the path."""
    inner = [each for each in order.fields if each.name not in names]
    if "offerId" in names:
        inner = []
    needed = example_of_fields(inner, given=True)
    content: Document = {"schema": schemas.object(inner, given=True)}
    if needed:
        content["example"] = needed
    return {"required": bool(needed), "content": {_JSON: content}}


def _response(schemas: Payloads, route: Route, status: int, order: Order | None) -> Document:
    if status == 200:
        return _good(schemas, route, order)
    if route.path == "/ws" and status == 400:  # Tornado's answer to a request without a handshake
        return {
            "description": "This is no WebSocket handshake.",
            "content": {"text/html": {"schema": {"type": "string"}}},
        }
    if status in _SHARED:
        return {"$ref": f"#/components/responses/Status{status}"}
    return {"description": STATUSES[status]}


def _good(schemas: Payloads, route: Route, order: Order | None) -> Document:
    if order is not None:
        schema = _enveloped(schemas, schemas.results(order), None)
        return {"description": "The events are on disk.", "content": {_JSON: {"schema": schema}}}
    content: Document = {}
    for kind in route.kinds:
        schema = _answer(schemas, route) if kind == _JSON else {"type": "string"}
        content[kind] = {"schema": schema}
    return {"description": STATUSES[200], **({"content": content} if content else {})}


def _answer(schemas: Payloads, route: Route) -> Schema:
    if route.bare:
        return schemas.of(route.answer)
    if route.name == "listEvents":
        result: Schema = {"type": "array", "items": schemas.any_event()}
    else:
        result = schemas.of(route.answer)
    return _enveloped(schemas, result, route.extra)


def _enveloped(schemas: Payloads, result: Schema, extra: type | None) -> Schema:
    more = schemas.object(fields_of(extra))["properties"] if extra else {}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["result"],
        "properties": {"result": result, **more},
    }


def _failure(schemas: Payloads, status: int) -> Document:
    codes = [code for code, cls in CODES.items() if catalog.status(code, cls) == status]
    text = STATUSES[status] + (f" {', '.join(codes)}." if codes else "")
    answer = schemas.add(
        "ErrorAnswer",
        lambda: {
            "type": "object",
            "description": "A failure.",
            "additionalProperties": False,
            "required": ["error"],
            "properties": {"error": schemas.of(ErrorFields)},
        },
    )
    found: Document = {"description": text}
    if status in _HEADERS:
        name, meaning, kind = _HEADERS[status]
        found["headers"] = {name: {"description": meaning, "schema": {"type": kind}}}
    return {**found, "content": {_JSON: {"schema": answer}}}
