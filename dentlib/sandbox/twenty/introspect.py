"""The two GraphQL schemas as `graphql-core` knows them: for introspection, and for `/metadata`'s strict validation.

`/graphql` is generated from the workspace's objects and answers introspection only (the real one does not validate
documents either). `/metadata` is the part of Twenty 2.21's schema that a migration uses, and validates every document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from graphql import (
    DefinitionNode,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    build_ast_schema,
    build_schema,
    execute_sync,
    get_operation_ast,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from dentlib.sandbox.twenty.catalog import Catalog, Field, Object
from dentlib.sandbox.twenty.composites import UNIQUE_PART
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.versions import Release

_COMPOSITES = """
scalar BigFloat scalar UUID scalar DateTime scalar Date scalar Position scalar TSVector scalar JSON
scalar Cursor scalar ConnectionCursor
enum OrderByDirection { AscNullsFirst AscNullsLast DescNullsFirst DescNullsLast }
enum FilterIs { NULL NOT_NULL }
type PageInfo {
  hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: ConnectionCursor endCursor: ConnectionCursor
}
type FileObject { fileId: UUID! label: String! extension: String url: String }
input FileItemInput { fileId: UUID! label: String! }
enum ActorSourceEnum { EMAIL CALENDAR WORKFLOW AGENT API IMPORT MANUAL SYSTEM WEBHOOK APPLICATION }
"""
_PARTS = {
    "Links": "primaryLinkLabel: String primaryLinkUrl: String secondaryLinks: JSON",
    "Currency": "amountMicros: BigFloat currencyCode: String",
    "FullName": "firstName: String lastName: String",
    "Address": "addressStreet1: String addressStreet2: String addressCity: String addressPostcode: String "
    "addressState: String addressCountry: String addressLat: BigFloat addressLng: BigFloat",
    "Actor": "source: ActorSourceEnum! workspaceMemberId: UUID name: String! context: JSON",
    "Emails": "primaryEmail: String additionalEmails: JSON",
    "Phones": "primaryPhoneNumber: String primaryPhoneCountryCode: String primaryPhoneCallingCode: String "
    "additionalPhones: JSON",
}
_RICH_TEXT = "blocknote: String markdown: String"
_COMPOSITE_OF = {
    "LINKS": "Links",
    "CURRENCY": "Currency",
    "FULL_NAME": "FullName",
    "ADDRESS": "Address",
    "ACTOR": "Actor",
    "EMAILS": "Emails",
    "PHONES": "Phones",
    "RICH_TEXT": "RichText",
    "RICH_TEXT_V2": "RichTextV2",
}
_SCALAR_OF = {
    "UUID": "UUID",
    "TEXT": "String",
    "NUMBER": "Float",
    "NUMERIC": "BigFloat",
    "BOOLEAN": "Boolean",
    "DATE": "Date",
    "DATE_TIME": "DateTime",
    "RAW_JSON": "JSON",
    "ARRAY": "[String]",
    "POSITION": "Position",
    "TS_VECTOR": "TSVector",
    "RICH_TEXT": "String",
}
_FILTERS = {
    "UUID": "UUIDFilter",
    "String": "StringFilter",
    "Float": "FloatFilter",
    "Position": "FloatFilter",
    "BigFloat": "BigFloatFilter",
    "Boolean": "BooleanFilter",
    "Date": "DateFilter",
    "DateTime": "DateTimeFilter",
    "TSVector": "TSVectorFilter",
    "JSON": "RawJsonFilter",
    "ActorSourceEnum": "ActorSourceEnumFilter",
    "[String]": "ArrayFilter",
}
_NAMES = re.compile(r"\w+")
_TYPED = re.compile(r"(\w+)(?:\([^)]*\))?: (\S+)")
_QUOTED_NAME = re.compile(r"'([\w$.\[\]!]+)'")
_WITH_DUPLICATES = ("company", "person")
_PAGING = "first: Int, last: Int, offset: Int, before: String, after: String"


def core_schema(catalog: Catalog) -> GraphQLSchema:
    """Build `/graphql`'s schema of a workspace from its objects, custom ones included.

    A fifth of a second once; after a change of metadata only what changed is read again, some 50 ms.
    """
    return built(schema_texts(catalog))


def schema_texts(catalog: Catalog) -> tuple[str, ...]:
    """Write `/graphql`'s schema of a workspace, one definition a text (the first text is all that never changes)."""
    of = catalog.release
    more = of.asset("core-{}.graphql").decode() if of.core_roots else ""
    return (_COMPOSITES + more, *_shared_types(of), *_object_types(catalog), *_roots(catalog))


def gone_names(old: tuple[str, ...], new: tuple[str, ...]) -> frozenset[str]:
    """Name what a schema has lost: a document that fitted the old one and mentions none of it fits the new one."""
    kept = set(new)
    lost = [text for text in old[1:] if text not in kept]
    heads = {_head(text): text for text in new[1:] if text not in set(old)} if lost else {}
    gone: set[str] = set()
    for text in lost:
        now = heads.get(_head(text))
        if now is None:
            gone.add(_head(text)[1])
        else:
            gone |= set(_NAMES.findall(text)) - set(_NAMES.findall(now))
            gone |= {name for name, _ in set(_TYPED.findall(text)) - set(_TYPED.findall(now))}
    return frozenset(gone)


def _head(text: str) -> tuple[str, str]:
    kind, name = text.split(maxsplit=2)[:2]
    return kind, name


@lru_cache(maxsize=16)
def built(texts: tuple[str, ...]) -> GraphQLSchema:
    """Workspaces with the same objects share a schema."""
    definitions = [one for text in texts if text for one in _definitions(text)]
    return build_ast_schema(DocumentNode(definitions=tuple(definitions)), assume_valid=True, assume_valid_sdl=True)


@lru_cache(maxsize=16_384)
def _definitions(text: str) -> tuple[DefinitionNode, ...]:
    return tuple(parse(text, no_location=True).definitions)


@cache
def metadata_schema(of: Release) -> GraphQLSchema:
    """Read `/metadata`'s schema: the operations that a migration uses, with their arguments and types."""
    return build_schema(of.asset("metadata-{}.graphql").decode())


def introspection(schema: GraphQLSchema, document: DocumentNode, variables: Json | None, operation: str | None) -> Json:
    """Answer a document that asks for `__schema` or `__type` only, as `{data}` or `{errors}`."""
    result = execute_sync(schema, document, variable_values=variables, operation_name=operation)
    answer: Json = {"data": result.data}
    if result.errors:
        answer["errors"] = [_told(error) for error in result.errors]
    return answer


def document_problems(schema: GraphQLSchema, document: DocumentNode) -> list[Json]:
    """List what is wrong with a document by the schema, each as `{message, locations}` (the real status: 200)."""
    return [_told(error) for error in validate(schema, document)]


def variable_problems(schema: GraphQLSchema, document: DocumentNode, variables: Json, name: str | None) -> list[Json]:
    """List variables that do not fit the schema, in the real server's words (it answers them with HTTP 400)."""
    operation = get_operation_ast(document, name)
    if not isinstance(operation, OperationDefinitionNode):
        return []
    values = get_variable_values(schema, operation.variable_definitions or (), variables)
    if not isinstance(values, list):
        return []
    return [
        {
            "message": _in_double_quotes(error.message.partition("; ")[2] or error.message),
            "extensions": {
                "http": {"status": 400},
                "code": "BAD_USER_INPUT",
                "userFriendlyMessage": "An error occurred.",
            },
        }
        for error in values
    ]


def _told(error: GraphQLError) -> Json:
    told: dict[str, Any] = {"message": _in_double_quotes(error.message)}
    if error.locations:
        told["locations"] = [{"line": where.line, "column": where.column} for where in error.locations]
    return told


def _in_double_quotes(message: str) -> str:
    """Write as graphql-js does; graphql-core quotes names otherwise, and has mappings where JavaScript has objects."""
    quoted = _QUOTED_NAME.sub(r'"\1"', message)
    return f"{quoted.removesuffix('a mapping.')}an object." if quoted.endswith(" to be a mapping.") else quoted


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _shared_types(of: Release) -> Iterator[str]:
    for name, parts in {**_PARTS, of.rich_text_type: _RICH_TEXT}.items():
        yield f"type {name} {{ {parts} }}"
        written = "source: ActorSourceEnum! context: JSON" if name == "Actor" else parts
        yield f"input {name}CreateInput {{ {written} }}"
        yield f"input {name}UpdateInput {{ {written.replace('!', '')} }}"
        pairs = [part.split(":") for part in parts.replace(": ", ":").replace("!", "").split()]
        filters = " ".join(f"{key}: {_FILTERS.get(kind, 'StringFilter')}" for key, kind in pairs)
        yield f"input {name}FilterInput {{ {filters} }}"
        yield f"input {name}OrderByInput {{ {' '.join(f'{key}: OrderByDirection' for key, _ in pairs)} }}"
    texts = "like: String ilike: String startsWith: String endsWith: String regex: String iregex: String"
    yield _enum_filter("ActorSourceEnum")
    for scalar, extra in {
        "UUID": "",
        "String": texts,
        "Float": "",
        "BigFloat": "",
        "Date": "",
        "DateTime": "",
    }.items():
        listed = "[UUID]" if scalar == "UUID" else f"[{scalar}!]"
        ops = f"eq: {scalar} gt: {scalar} gte: {scalar} in: {listed} lt: {scalar} lte: {scalar} neq: {scalar}"
        yield f"input {scalar}Filter {{ {ops} is: FilterIs {extra} }}"
    yield "input BooleanFilter { eq: Boolean is: FilterIs }"
    yield "input TSVectorFilter { search: String }"
    yield "input RawJsonFilter { is: FilterIs like: String }"
    yield "input ArrayFilter { containsIlike: String is: FilterIs isEmptyArray: Boolean }"


def _object_types(catalog: Catalog) -> Iterator[str]:
    for obj in catalog.objects.values():
        name = _capital(obj.name)
        out, create, update, filters, order = [], [], [], [], []
        for one in obj.fields.values():
            yield from _enum(name, one)
            out += _output(catalog, one, name)
            create += _input(catalog, one, name, "Create")
            update += _input(catalog, one, name, "Update")
            filters += _filter(catalog, one, name)
            order += _order(catalog, one)
        counts = " ".join(_aggregates(obj))
        yield f"type {name} {{ {' '.join(out)} }}"
        yield f"type {name}Edge {{ node: {name}! cursor: Cursor! }}"
        yield f"type {name}Connection {{ totalCount: Int {counts} edges: [{name}Edge!]! pageInfo: PageInfo! }}"
        page = f"edges: [{name}Edge!]! pageInfo: PageInfo!"
        yield f"type {name}GroupByConnection {{ groupByDimensionValues: JSON! totalCount: Int {counts} {page} }}"
        yield f"input {name}CreateInput {{ {' '.join(create)} }}"
        yield f"input {name}UpdateInput {{ {' '.join(update)} }}"
        own = f"{name}FilterInput"
        yield f"input {own} {{ {' '.join(filters)} and: [{own}] or: [{own}] not: {own} }}"
        yield f"input {name}OrderByInput {{ {' '.join(order)} }}"
        for one in obj.fields.values():
            part = UNIQUE_PART.get(one.type)
            if one.doc.get("isUnique") and part:
                yield f"input {name}{_capital(one.name)}WhereInput {{ {part}: String }}"
        yield f"input {name}RelationInput {{ connect: {name}ConnectInput disconnect: Boolean }}"
        yield f"input {name}ConnectInput {{ where: {name}WhereUniqueInput }}"
        yield f"input {name}WhereUniqueInput {{ {' '.join(_unique(obj))} }}"


def _enum(owner: str, one: Field) -> Iterator[str]:
    options = one.doc.get("options")
    if one.type in ("SELECT", "MULTI_SELECT", "RATING") and options:
        kind = f"{owner}{_capital(one.name)}Enum"
        yield f"enum {kind} {{ {' '.join(str(option['value']) for option in options)} }}"
        yield _enum_filter(kind)


def _enum_filter(kind: str) -> str:
    listed = f"in: [{kind}] containsAny: [{kind}]"
    return f"input {kind}Filter {{ eq: {kind} neq: {kind} {listed} is: FilterIs isEmptyArray: Boolean }}"


def _composite(catalog: Catalog, one: Field) -> str | None:
    return None if one.type in catalog.release.unwritable else _COMPOSITE_OF.get(one.type)


def _type(catalog: Catalog, one: Field, owner: str) -> str:
    kind = f"{owner}{_capital(one.name)}Enum"
    if one.type in ("SELECT", "RATING"):
        return kind if one.doc.get("options") else "String"
    if one.type == "MULTI_SELECT":
        return f"[{kind}]" if one.doc.get("options") else "[String]"
    if one.type == "FILES":
        return "[FileObject]"
    return _composite(catalog, one) or _SCALAR_OF[one.type]


def _output(catalog: Catalog, one: Field, owner: str) -> list[str]:
    mark = "" if one.doc.get("isNullable", True) else "!"
    if one.relation:
        target = _capital(catalog.target(one).name)
        if one.is_to_many:
            arguments = f"{_PAGING}, filter: {target}FilterInput, orderBy: [{target}OrderByInput]"
            return [f"{one.name}({arguments}): {target}Connection"]
        return [f"{one.column}: ID{mark}", f"{one.name}: {target}"]
    return [f"{one.name}: {_type(catalog, one, owner)}{mark}"]


def _input(catalog: Catalog, one: Field, owner: str, verb: str) -> list[str]:
    if one.relation:
        target = _capital(catalog.target(one).name)
        return [] if one.is_to_many else [f"{one.column}: ID", f"{one.name}: {target}RelationInput"]
    if one.name == "id":
        return ["id: ID"]
    if one.type == "FILES":
        return [f"{one.name}: [FileItemInput]"]
    composite = _composite(catalog, one)
    return [f"{one.name}: {composite}{verb}Input" if composite else f"{one.name}: {_type(catalog, one, owner)}"]


def _filter(catalog: Catalog, one: Field, owner: str) -> list[str]:
    if one.relation:
        if one.is_to_many:
            return []
        return [f"{one.column}: UUIDFilter", f"{one.name}: {_capital(catalog.target(one).name)}FilterInput"]
    composite = _composite(catalog, one)
    if composite:
        return [f"{one.name}: {composite}FilterInput"]
    if one.doc.get("options"):
        return [f"{one.name}: {owner}{_capital(one.name)}EnumFilter"]
    return [f"{one.name}: {_FILTERS.get(_SCALAR_OF.get(one.type, 'JSON'), 'StringFilter')}"]


def _order(catalog: Catalog, one: Field) -> list[str]:
    if one.relation:
        if one.is_to_many:
            return []
        return [f"{one.column}: OrderByDirection", f"{one.name}: {_capital(catalog.target(one).name)}OrderByInput"]
    composite = _composite(catalog, one)
    return [f"{one.name}: {composite}OrderByInput" if composite else f"{one.name}: OrderByDirection"]


def _aggregates(obj: Object) -> Iterator[str]:
    for one in obj.fields.values():
        if one.relation and one.type != "MORPH_RELATION":
            continue
        label = _capital(one.name)
        yield f"countUniqueValues{label}: Int countEmpty{label}: Int countNotEmpty{label}: Int"
        yield f"percentageEmpty{label}: Float percentageNotEmpty{label}: Float"
        if one.type in ("DATE_TIME", "DATE"):
            yield f"min{label}: DateTime max{label}: DateTime"
        elif one.type == "BOOLEAN":
            yield f"countTrue{label}: Int countFalse{label}: Int"
        elif one.type == "NUMBER":
            yield f"min{label}: Float max{label}: Float avg{label}: Float sum{label}: Float"
        elif one.type == "CURRENCY":
            yield " ".join(f"{verb}{label}AmountMicros: Float" for verb in ("min", "max", "avg", "sum"))


def _unique(obj: Object) -> Iterator[str]:
    yield "id: ID"
    for one in obj.fields.values():
        if one.doc.get("isUnique") and one.name != "id":
            composite = _COMPOSITE_OF.get(one.type)
            kind = f"{_capital(obj.name)}{_capital(one.name)}WhereInput" if composite else "String"
            yield f"{one.column or one.name}: {kind}"


def _roots(catalog: Catalog) -> Iterator[str]:
    queries, mutations = [], []
    for obj in catalog.objects.values():
        one, many = _capital(obj.name), _capital(obj.plural)
        by = f"filter: {one}FilterInput"
        queries += [
            f"{obj.plural}({_PAGING}, {by}, orderBy: [{one}OrderByInput]): {one}Connection",
            f"{obj.name}({by}!): {one}",
            f"{obj.plural}GroupBy(groupBy: [JSON!]!, {by}, orderBy: JSON, limit: Int): [{one}GroupByConnection!]",
        ]
        if obj.is_custom or obj.name in _WITH_DUPLICATES:
            queries.append(f"{obj.name}Duplicates(ids: [UUID], data: [{one}CreateInput]): [{one}Connection!]")
            arguments = "ids: [UUID!]!, conflictPriorityIndex: Int!, dryRun: Boolean"
            mutations.append(f"merge{many}({arguments}): {one}")
        mutations += [
            f"create{many}(data: [{one}CreateInput!]!, upsert: Boolean): [{one}!]",
            f"create{one}(data: {one}CreateInput!, upsert: Boolean): {one}",
            f"update{one}(id: UUID!, data: {one}UpdateInput!): {one}",
            f"update{many}(data: {one}UpdateInput!, {by}!): [{one}!]",
        ]
        for verb in ("delete", "destroy", "restore"):
            mutations += [f"{verb}{one}(id: UUID!): {one}", f"{verb}{many}({by}!): [{one}!]"]
    yield f"type Query {{ {' '.join(queries)} }}"
    yield f"type Mutation {{ {' '.join(mutations)} }}"
