"""The OpenAPI 3.1 document, from the models that check the requests.

Guarantee: every operation says its scope, and has an example of each parameter and body.
"""

from __future__ import annotations

from typing import Any

from flask import Response, json
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

INFO = Info(
    title="Countenance",
    version="1",
    description=(
        "Operators' and merchants' API. Send `Authorization: Bearer cnt_…`. Errors are RFC 9457"
        " problem details; lists go on after the last page's `next`."
    ),
)
SECURITY: dict[str, Any] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "cnt_…"}}


def serve_document(app: OpenAPI) -> None:
    """Serves ``/api/openapi.json``, made once."""
    text = json.dumps(_finish(app.api_doc))
    app.add_url_rule(
        "/api/openapi.json",
        endpoint="document",
        view_func=lambda: Response(text, content_type="application/json"),
    )


def _finish(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                parameter.setdefault("example", example_of(parameter["schema"], schemas))
            for part in (operation.get("requestBody"), *operation["responses"].values()):
                media = (part or {}).get("content", {}).get("application/json")
                if media:
                    media["example"] = example_of(media["schema"], schemas)
    return document


def example_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """An example made of the examples of the schema's parts."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "example" in schema:
        return schema["example"]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    for known in ("const", "default"):
        if known in schema:
            return schema[known]
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: example_of(each, schemas) for name, each in schema["properties"].items()}
    if schema["type"] == "array":
        return [example_of(schema["items"], schemas)]
    return {"integer": 1, "string": "text", "boolean": True, "null": None}[schema["type"]]
