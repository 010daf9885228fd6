"""The API described by its own wire types: the OpenAPI document, and a page that needs nothing else."""

from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

import msgspec

from online_api.errors import ErrorEnvelope

JSON = "application/json"
REF = "#/components/schemas/{name}"


class Operation(NamedTuple):
    """`answers`: a wire type by status; None where the body is plain text."""

    method: str
    path: str
    summary: str
    request: type | None
    answers: Mapping[int, type | None]
    example: Any = None


_EVENT = {
    "event_id": "e-1",
    "user_id": "u-1",
    "event_type": "add_to_cart",
    "event_time": "2026-01-05T10:00:00Z",
    "session_id": "s-1",
    "item_id": "p-9",
    "price": 1999,
}
EVENTS_EXAMPLE = {"events": [_EVENT]}
SCORE_EXAMPLE = {"user_id": "u-1", "session_id": "s-1", "query": "退货怎么办", "explain": True}
FEEDBACK_EXAMPLE = {
    "feedback_id": "f-1",
    "text": "鞋子开胶了怎么办",
    "intent": "return_refund",
    "source": "agent",
}
FEATURES_EXAMPLE = {
    "features": ["user_activity:view_count_1h", "user_activity:purchase_amount_30d"],
    "entities": {"user_id": ["u-1", "u-2"]},
}


def document(operations: tuple[Operation, ...], version: str) -> dict:
    """OpenAPI 3.1."""
    used = [o.request for o in operations] + [a for o in operations for a in o.answers.values()]
    types = list(dict.fromkeys(t for t in [*used, ErrorEnvelope] if t is not None))
    references, components = msgspec.json.schema_components(types, ref_template=REF)
    schema_of = dict(zip(types, references, strict=True))
    paths: dict[str, dict] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Shopper intent",
            "version": version,
            "description": "Events in; features and intent scores out, while the shopper is on the page.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(operation: Operation, schema_of: dict[type, dict]) -> dict:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": operation.path.strip("/").replace("/", "_").replace("-", "_").replace(".", "_"),
        "responses": {
            str(status): _response(status, answer, schema_of) for status, answer in operation.answers.items()
        },
    }
    if operation.request is not None:
        content: dict[str, Any] = {"schema": schema_of[operation.request]}
        if operation.example is not None:
            content["example"] = operation.example
        described["requestBody"] = {"required": True, "content": {JSON: content}}
    return described


_MEANING = {
    200: "Done",
    400: "The body is not JSON of the right shape",
    404: "There is no such feature or service",
    413: "Too much in one request",
    422: "A field is wrong; the error names it",
    503: "Not able to answer now; the error says why, and the same request may be sent again",
}


def _response(status: int, answer: type | None, schema_of: dict[type, dict]) -> dict:
    if answer is None:
        return {
            "description": _MEANING[status],
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    return {"description": _MEANING[status], "content": {JSON: {"schema": schema_of[answer]}}}


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#f4f4f6;padding:.8rem;overflow:auto;font-size:.85rem}"
    "h2 code{background:#eef;padding:.1rem .4rem}summary{cursor:pointer}"
)


def page(described: dict) -> str:
    """The document as HTML, without scripts or anything from elsewhere."""
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{escape(described['info']['title'])}</title>",
        f"<style>{_STYLE}</style><h1>{escape(described['info']['title'])}</h1>",
        f'<p>{escape(described["info"]["description"])} <a href="/openapi.json">openapi.json</a></p>',
    ]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parts.append(_section(path, method, operation))
    for name, schema in described["components"]["schemas"].items():
        parts.append(
            f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
            f"{_json(schema)}</details>"
        )
    return "\n".join(parts)


def _section(path: str, method: str, operation: dict) -> str:
    lines = [f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"]
    if body := operation.get("requestBody"):
        content = body["content"][JSON]
        lines.append(f"<p>Body: {_link(content['schema'])}</p>")
        if "example" in content:
            lines.append(_json(content["example"]))
    lines.append("<ul>")
    for status, response in operation["responses"].items():
        schema = response["content"].get(JSON, {}).get("schema", {})
        lines.append(f"<li>{status}: {escape(response['description'])}. {_link(schema)}</li>")
    return "".join([*lines, "</ul>"])


def _link(schema: dict) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    return f'<a href="#{escape(name)}"><code>{escape(name)}</code></a>' if name else ""


def _json(value: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre>{escape(text)}</pre>"
