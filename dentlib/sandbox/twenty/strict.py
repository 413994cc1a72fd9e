"""Documents of `/graphql` as older versions take them: checked against the schema before anything runs.

A document with an unknown field or type is refused whole (HTTP 200, `errors` alone); variables that don't fit, with
HTTP 400. Newer versions take both and answer null, or fail the one root field.
"""

from __future__ import annotations

from functools import lru_cache

from graphql import GraphQLSchema

from dentlib.sandbox.twenty.graphql import Document, parse_cached
from dentlib.sandbox.twenty.introspect import document_problems, variable_problems
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace

_LONG_DOCUMENT = 20_000


def refused(space: Workspace, document: Document, not_variables: type) -> tuple[int, Json] | None:
    """The status and answer of a document that does not fit the schema, or None when it does.

    Variables of the type `not_variables` (uploads) are not looked at.
    """
    given = {key: value for key, value in document.variables.items() if not isinstance(value, not_variables)}
    all_given = len(given) == len(document.variables)
    earlier = space.earlier_schema()
    if earlier is not None and not _mentions(document, given, earlier[1]):
        verdict = _verdict(earlier[0], document, given if all_given else None)
        if verdict is None:
            return None
    return _verdict(space.schema, document, given if all_given else None)


def _mentions(document: Document, given: Json, names: frozenset[str]) -> bool:
    """Tell whether a document or its variables could mean one of these names."""
    if not names:
        return False
    text = document.text + dumps(given)
    return any(name in text for name in names)


def _verdict(schema: GraphQLSchema, document: Document, given: Json | None) -> tuple[int, Json] | None:
    text = document.text
    problems = _checked(schema, text) if len(text) < _LONG_DOCUMENT else document_problems(schema, document.parsed)
    if problems:
        return 200, {"errors": problems}
    if given is None:
        return None
    name = document.operation.name.value if document.operation.name else None
    bad = variable_problems(schema, document.parsed, given, name)
    return (400, {"errors": bad}) if bad else None


@lru_cache(maxsize=1024)
def _checked(schema: GraphQLSchema, text: str) -> list[Json]:
    return document_problems(schema, parse_cached(text))
