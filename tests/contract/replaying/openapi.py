"""What a client could read from an OpenAPI document: paths, methods, operations and the properties of each schema."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from replaying.comparison import Difference
from replaying.exchanges import Json


def outline(document: Json, *, properties: bool) -> Json:
    """Reduce an OpenAPI document to its outline; `properties` also lists the properties of each schema."""
    schemas = document["components"]["schemas"]
    return {
        "openapi": document["openapi"],
        "title": document["info"]["title"],
        "version": document["info"]["version"],
        "paths": {
            path: {method: operation.get("operationId") for method, operation in methods.items()}
            for path, methods in sorted(document["paths"].items())
        },
        "schemas": {name: sorted(schema.get("properties", {})) for name, schema in sorted(schemas.items())}
        if properties
        else sorted(schemas),
    }


def outline_differences(recorded_outlines: Path, kind: str, document: Json) -> list[Difference]:
    """Compare a served document with the recorded outline of its kind (`core` or `metadata`)."""
    recorded = json.loads(gzip.decompress(recorded_outlines.read_bytes()))[kind]
    if not isinstance(document, dict) or "paths" not in document:
        return [Difference("body", "an OpenAPI document", document, "something else")]
    replayed = outline(document, properties=kind == "core")
    found = [
        Difference(f"body.{key}", recorded[key], replayed[key], "another value")
        for key in ("openapi", "title", "version")
        if recorded[key] != replayed[key]
    ]
    for key in ("paths", "schemas"):
        if recorded[key] == replayed[key]:
            continue
        names = sorted(set(recorded[key]) ^ set(replayed[key]))
        if names:
            found.append(Difference(f"body.{key}", "its names", names, "missing or unexpected"))
        elif isinstance(recorded[key], dict):
            for name in recorded[key]:
                if recorded[key][name] != replayed[key][name]:
                    found.append(Difference(f"body.{key}.{name}", recorded[key][name], replayed[key][name], "differs"))
    return found
