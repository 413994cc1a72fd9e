"""What the metadata API refuses, and how it says so.

A refusal lists its cause per kind of metadata together with follow-up errors about everything that could not be made
because of it; a client must look for the cause in `objectMetadata`, `fieldMetadata` or `index`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import orjson

from dentlib.sandbox.twenty.catalog import Catalog, Field, Object
from dentlib.sandbox.twenty.composites import EMPTY
from dentlib.sandbox.twenty.ids import new_id
from dentlib.sandbox.twenty.metadata_refusals import (
    MetadataRefused,
    cause_of,
    entry_of,
    field_of,
    follow_up_of,
    known_object,
    new_field,
    new_object,
    thing,
)
from dentlib.sandbox.twenty.refusals import Json, Refusal
from dentlib.sandbox.twenty.versions import Release

LONGEST_NAME = 63
_NAME = re.compile(r"[a-z][a-zA-Z0-9]*")
_OPTION_VALUE = re.compile(r"[A-Z_][A-Z0-9_]*")
_NEVER_UNIQUE = frozenset(
    {"FULL_NAME", "ADDRESS", "CURRENCY", "ACTOR", "RICH_TEXT", "RICH_TEXT_V2", "RAW_JSON", "ARRAY", "MULTI_SELECT"}
    | {"FILES", "RATING"}
)
_LINKS = frozenset({"RELATION", "MORPH_RELATION"})
_SYSTEM_FIELDS = (
    "name",
    "id",
    "createdAt",
    "createdBy",
    "deletedAt",
    "position",
    "updatedAt",
    "updatedBy",
    "searchVector",
)
_NOT_ALLOWED = "This field cannot be modified."


def check_object(catalog: Catalog, given: Json) -> None:
    """Check `createOneObject`'s input. Raises MetadataRefused."""
    of, code = catalog.release, "INVALID_OBJECT_INPUT"
    singular, plural = str(given["nameSingular"]), str(given["namePlural"])
    labels = {str(given["labelSingular"]), str(given["labelPlural"])}
    taken = {name for obj in catalog.objects.values() for name in (obj.name, obj.plural)}
    causes = [cause for name in (singular, plural) for cause in _name_causes(of, name, code)]
    same = "The singular and plural {} cannot be the same for an object"
    if not causes and singular == plural:
        causes = [cause_of(code, same.format("names"), singular)]
    if not causes and of.old_metadata and len(labels) == 1:
        causes = [cause_of(code, same.format("labels"), labels.pop())]
    if not causes and {singular, plural} & taken:
        causes = [cause_of("OBJECT_ALREADY_EXISTS", "Object already exists")]
    if causes:
        entity = new_object(of, singular, plural)
        cause = entry_of("objectMetadata", entity, causes)
        raise MetadataRefused(of, "creating object", _object_follow_ups(of, entity, cause))


def check_object_update(catalog: Catalog, obj: Object, given: Json) -> None:
    """Check `updateOneObject`'s update. Raises MetadataRefused."""
    causes = []
    for key in ("nameSingular", "namePlural"):
        name = given.get(key)
        if name is None or name == obj.doc[key]:
            continue
        others = {n for other in catalog.objects.values() if other is not obj for n in (other.name, other.plural)}
        broken = _name_causes(catalog.release, str(name), "INVALID_OBJECT_INPUT")
        if not broken and name in others:
            broken = [cause_of("OBJECT_ALREADY_EXISTS", "Object already exists")]
        causes += broken
    if causes:
        entry = entry_of("objectMetadata", known_object(catalog.release, obj), causes, verb="update")
        raise MetadataRefused(catalog.release, "updating object", {"objectMetadata": [entry]})


def check_object_deletion(of: Release, obj: Object | None) -> Object:
    """Check `deleteOneObject`; returns the object. Raises Refusal when it is not there or standard."""
    if obj is None:
        raise Refusal(
            "Could not find flat entity in maps",
            status=500,
            error="InternalServerErrorException",
            code="INTERNAL_SERVER_ERROR",
        )
    if obj.is_custom:
        return obj
    cause = cause_of("INVALID_OBJECT_INPUT", "Standard objects cannot be deleted")
    entry = entry_of("objectMetadata", known_object(of, obj), [cause], verb="delete")
    errors = {"fieldMetadata": _undeletable_fields(of, obj), "objectMetadata": [entry]}
    raise MetadataRefused(of, "deleting object", errors)


def _undeletable_fields(of: Release, obj: Object) -> list[Json]:
    if of.old_metadata:
        return [
            entry_of("fieldMetadata", _known_field(of, one, obj), _why_kept(one, obj), verb="delete")
            for one in obj.fields.values()
            if one.type not in _LINKS
        ]
    refused = cause_of("FIELD_MUTATION_NOT_ALLOWED", "System fields cannot be deleted")
    system = [one for one in obj.fields.values() if one.doc.get("isSystem")]
    return [entry_of("fieldMetadata", new_field(of, one.name, obj), [refused], verb="delete") for one in system]


def _why_kept(one: Field, owner: Object) -> list[Json]:
    """Why a standard field can't be deleted, in the old words [929] [942]."""
    kept = cause_of("INVALID_FIELD_INPUT", "Standard Fields can't be deleted")
    causes = [{**kept, "userFriendlyMessage": "Standard fields cannot be deleted"}]
    if owner.doc.get("labelIdentifierFieldMetadataId") == one.id:
        told = "Cannot delete, please update the label identifier field first"
        causes.insert(0, cause_of("FIELD_MUTATION_NOT_ALLOWED", told))
    return causes


def _known_field(of: Release, one: Field, owner: Object) -> Json:
    named = new_field(of, one.name, owner)
    return {**named, "id": one.id, "universalIdentifier": one.doc["universalIdentifier"]}


def check_field(catalog: Catalog, owner: Object, given: Json) -> None:
    """Check `createOneField`'s input, the other side of a relation included. Raises MetadataRefused."""
    of, kind, name = catalog.release, str(given["type"]), str(given["name"])
    _check_payload(of, kind, given)
    causes = _field_name_causes(of, owner, name) + _type_causes(of, kind, name, given)
    errors: dict[str, list[Json]] = {}
    if causes:
        errors["fieldMetadata"] = [entry_of("fieldMetadata", new_field(of, name, owner), causes)]
    inverse = _inverse_entries(catalog, owner, given, failed=bool(causes))
    if inverse:
        errors.setdefault("fieldMetadata", []).extend(inverse)
    if errors:
        raise MetadataRefused(of, "creating fields", {**errors, **_field_follow_ups(of, errors, kind, bool(causes))})
    check_unique(of, name, kind, given.get("isUnique"), given.get("defaultValue"))


def _field_follow_ups(of: Release, errors: dict[str, list[Json]], kind: str, own: bool) -> dict[str, list[Json]]:
    """The errors that the real server adds for what a new field would bring along: its columns in views, its index."""
    if not of.old_metadata:
        lost = [follow_up_of(of, "viewField", "INVALID_VIEW_DATA", "Field metadata not found")]
        return {"viewField": lost * (2 * len(errors["fieldMetadata"]))}
    if kind not in _LINKS or not own:
        return {}
    lost_field = cause_of("INDEX_FIELD_NOT_FOUND", "Could not find index field related field metadata")
    told = {**lost_field, "userFriendlyMessage": "Field referenced in index does not exist"}
    return {"index": [_lost_index(of, told)]}


def _lost_index(of: Release, cause: Json) -> Json:
    return entry_of("index", thing(of, name=f"IDX_{new_id().replace('-', '')[:27]}"), [cause])


def check_unique(of: Release, name: str, kind: str, is_unique: Any, default: Any) -> None:
    """Check that a field may have a unique index. Raises MetadataRefused."""
    if not is_unique:
        return
    if kind in _NEVER_UNIQUE or (of.old_metadata and kind in _LINKS):
        code, why = "INDEX_FIELD_INVALID_TYPE_FOR_UNIQUE", f"{kind} fields cannot be unique."
    elif default is not None:
        code, why = "INDEX_FIELD_INVALID_DEFAULT_VALUE", f"{kind} fields cannot have a default value."
    else:
        return
    field, of_type = ("{fieldName}", "{fieldType}") if of.old_metadata else (name, kind)
    message = f"Unique index cannot be created for field {field} of type {of_type}"
    entity = thing(of, name=f"IDX_UNIQUE_{new_id().replace('-', '')[:27]}")
    entry = entry_of("index", entity, [{"code": code, "message": message, "userFriendlyMessage": why}])
    raise MetadataRefused(of, "creating fields", {"index": [entry]})


def check_field_update(of: Release, owner: Object, field: Field, given: Json) -> None:
    """Check `updateOneField`'s update. Raises Refusal (standard field) or MetadataRefused."""
    name = given.get("name")
    if not field.doc.get("custom") and name is not None:
        raise Refusal(
            "Cannot edit standard field metadata properties: name",
            status=403,
            error="ForbiddenException",
            code="FORBIDDEN",
            sub_code="FIELD_MUTATION_NOT_ALLOWED",
            friendly=_NOT_ALLOWED,
        )
    causes = _field_name_causes(of, owner, str(name)) if name is not None and name != field.name else []
    if "options" in given and field.type in ("SELECT", "MULTI_SELECT"):
        causes += _option_causes(of, given["options"])
    if causes:
        entry = entry_of("fieldMetadata", new_field(of, str(name or field.name), owner), causes, verb="update")
        raise MetadataRefused(of, "updating fields", {"fieldMetadata": [entry]})
    if not field.doc.get("isUnique"):
        default = given.get("defaultValue", field.doc.get("defaultValue"))
        check_unique(of, field.name, field.type, given.get("isUnique"), default)


def check_field_deletion(catalog: Catalog, field: Field | None) -> Field:
    """Check `deleteOneField`; returns the field. Raises Refusal when it is not there or standard."""
    if field is None:
        raise Refusal(
            "Field to delete not found",
            status=404,
            error="NotFoundException",
            code="NOT_FOUND",
            sub_code="FIELD_METADATA_NOT_FOUND",
            friendly="Field not found.",
        )
    if not field.doc.get("custom") and catalog.release.old_metadata:
        owner = catalog.objects[field.obj]
        known = _known_field(catalog.release, field, owner)
        entry = entry_of("fieldMetadata", known, _why_kept(field, owner), verb="delete")
        raise MetadataRefused(catalog.release, "deleting field", {"fieldMetadata": [entry]})
    if not field.doc.get("custom"):
        raise Refusal(
            f'Cannot delete standard field "{field.name}"',
            status=403,
            error="ForbiddenException",
            code="FORBIDDEN",
            sub_code="FIELD_MUTATION_NOT_ALLOWED",
            friendly=_NOT_ALLOWED,
        )
    return field


def name_from_label(label: str) -> str:
    """Make a field's name from a label, as Twenty does for the other side of a relation: camelCase of its words."""
    words: list[str] = re.findall(r"[A-Za-z0-9]+", label)
    first, *rest = words or [""]
    return first[:1].lower() + first[1:] + "".join(word[:1].upper() + word[1:] for word in rest)


@cache
def reserved_names(of: Release) -> frozenset[str]:
    """Return the names that neither an object nor a field may have."""
    names: list[str] = orjson.loads(of.asset("reserved-{}.json"))["names"]
    return frozenset(names)


def _object_follow_ups(of: Release, entity: Json, cause: Json) -> dict[str, list[Json]]:
    """The errors that the real server adds for all that a new object would bring along."""
    missing = cause_of("OBJECT_METADATA_NOT_FOUND", "Object metadata not found")
    fields = [entry_of("fieldMetadata", field_of(of, name, entity), [missing]) for name in _SYSTEM_FIELDS]
    lost = ("INVALID_VIEW_DATA", "Object metadata not found")
    no_field = ("INVALID_VIEW_DATA", "Field metadata not found")
    missed = {
        "searchFieldMetadata": [
            follow_up_of(of, "searchFieldMetadata", "FIELD_METADATA_NOT_FOUND", "Field metadata not found")
        ]
    }
    if of.old_metadata:
        told = cause_of("INDEX_OBJECT_NOT_FOUND", "Could not find index related object metadata")
        missed = {"index": [_lost_index(of, {**told, "userFriendlyMessage": "Index related object not found"})]}
    return {
        "fieldMetadata": fields,
        "objectMetadata": [cause],
        "view": [follow_up_of(of, "view", *lost) for _ in range(1 if of.old_metadata else 2)],
        "viewField": [follow_up_of(of, "viewField", *no_field) for _ in range(12 if of.old_metadata else 9)],
        **missed,
    }


def _name_causes(of: Release, name: str, code: str) -> list[Json]:
    if len(name) > LONGEST_NAME:
        return [cause_of(code, "Name is too long", name)]
    if not _NAME.fullmatch(name):
        rule = "it must start with lowercase letter and contain only alphanumeric letters"
        told = [cause_of(code, f"Name is not valid: {rule}", name)]
        return [cause_of(code, "Name should be in camelCase", name), *told] if of.old_metadata else told
    if name in reserved_names(of):
        reserved = 'This name is reserved. Use a different name or the system will add "Custom" suffix.'
        return [cause_of(code, reserved, name)]
    return []


def _field_name_causes(of: Release, owner: Object, name: str) -> list[Json]:
    causes = _name_causes(of, name, "INVALID_FIELD_INPUT")
    if causes:
        return causes
    if name in owner.fields or name in {one.column for one in owner.fields.values()}:
        return [
            cause_of("NOT_AVAILABLE", f'Name "{name}" is not available as it is already used by another field', name)
        ]
    for one in owner.fields.values():
        parts = {f"{one.name}{part[0].upper()}{part[1:]}" for part in EMPTY.get(one.type, ())}
        if name in parts:
            told = f'Name "{name}" is not available'
            cause = cause_of("RESERVED_KEYWORD", f'Name "{name}" is reserved composite field name', name)
            return [{**cause, "userFriendlyMessage": told}]
    return []


def _type_causes(of: Release, kind: str, name: str, given: Json) -> list[Json]:
    code = "INVALID_FIELD_INPUT"
    if kind == "NUMERIC":
        told = "Field type NUMERIC is not supported"
        cause = cause_of(code, f"{told} for field creation. Use NUMBER instead.", kind)
        return [{**cause, "userFriendlyMessage": f"{told}. Use Number instead."}]
    if kind == "POSITION" and of.old_metadata:
        return [cause_of(code, "Field type POSITION is a system type and cannot be created manually.", kind)]
    if kind == "POSITION":
        named = 'Field type POSITION must be named "position"'
        causes = (
            []
            if name == "position"
            else [{**cause_of(code, f'{named}, got "{name}"', name), "userFriendlyMessage": named}]
        )
        return [*causes, cause_of(code, "Field type POSITION must be a system field", False)]
    if kind == "FILES":
        most = 10 if of.old_metadata else 60
        causes = [cause_of(code, "Files field type is not supported")] if of.file_paths else []
        count = (given.get("settings") or {}).get("maxNumberOfValues")
        if isinstance(count, bool) or not isinstance(count, int | float) or not 0 < count <= most:
            rule = f"be a number greater than 0 and less than or equal to {most}"
            causes.append(cause_of(code, f"maxNumberOfValues must be defined in settings and {rule}"))
        return causes
    if kind in ("SELECT", "MULTI_SELECT"):
        return _option_causes(of, given.get("options"))
    return []


def _option_causes(of: Release, options: Any) -> list[Json]:
    code = "INVALID_FIELD_INPUT"
    if not options:
        return [cause_of(code, "Options are required for enum fields", [])]
    causes = []
    for option in options:
        value, label = str(option.get("value", "")), str(option.get("label", ""))
        if len(value) > LONGEST_NAME:
            causes.append(cause_of(code, f"Option value exceeds {LONGEST_NAME} characters", value))
        elif not _OPTION_VALUE.fullmatch(value):
            rule = 'Value must be in UPPER_CASE and follow snake_case "{}"'
            cause = cause_of(code, rule.format(value), value)
            causes.append({**cause, "message": rule.format("{sanitizedValue}")} if of.old_metadata else cause)
        if "," in label:
            causes.append(cause_of(code, "Label must not contain a comma", label))
    values = [option.get("value") for option in options]
    if not causes and len(set(values)) < len(values):
        cause = cause_of(code, "Duplicated option value", [{"id": new_id(), **option} for option in options])
        causes = [{**cause, "message": "Duplicated option {field}"} if of.old_metadata else cause]
    return causes


def _check_payload(of: Release, kind: str, given: Json) -> None:
    """Refuse what the server can't even begin to build: it answers these alone, about one "field"."""
    cause: Json | None = None
    if kind == "TS_VECTOR":
        cause = {"code": "INVALID_FIELD_INPUT", "message": "TS Vector is not supported for field creation"}
    elif kind == "RELATION" and not given.get("relationCreationPayload"):
        cause = cause_of("INVALID_FIELD_INPUT", "Relation creation payload is required")
    elif kind == "MORPH_RELATION" and not given.get("morphRelationsCreationPayload"):
        cause = cause_of("INVALID_FIELD_INPUT", "Morph relation creation payload is required")
    for payload in _payloads(given):
        if payload.get("type") not in ("MANY_TO_ONE", "ONE_TO_MANY"):
            rule = "" if of.old_metadata else ": type must be one of the following values: MANY_TO_ONE, ONE_TO_MANY"
            told = cause_of("FIELD_METADATA_RELATION_MALFORMED", f"Relation creation payload is invalid{rule}", payload)
            cause = {**told, "userFriendlyMessage": "Invalid relation creation payload"}
    if cause:
        entry = {
            "errors": [cause],
            "type": "create",
            "metadataName": "fieldMetadata",
            "flatEntityMinimalInformation": {"id": ""},
        }
        raise MetadataRefused(of, "creating field", {"fieldMetadata": [entry]})


def _payloads(given: Json) -> list[Json]:
    many = given.get("morphRelationsCreationPayload") or []
    return [payload for payload in [given.get("relationCreationPayload"), *many] if payload]


def _inverse_entries(catalog: Catalog, owner: Object, given: Json, *, failed: bool) -> list[Json]:
    """The errors of a relation's other side: its name is taken, or the field it would point to can't be made."""
    entries = []
    for payload in _payloads(given):
        target = catalog.by_id(str(payload.get("targetObjectMetadataId")))
        if target is None:
            cause = cause_of("OBJECT_METADATA_NOT_FOUND", "Object metadata not found")
            entries.append(entry_of("fieldMetadata", new_field(catalog.release, str(given["name"]), owner), [cause]))
            continue
        name = name_from_label(str(payload.get("targetFieldLabel", "")))
        if failed:
            told = "Relation field target metadata not found"
            cause = cause_of(
                "FIELD_METADATA_NOT_FOUND", f"{told} in both existing and about to be created field metadatas"
            )
            causes = [{**cause, "userFriendlyMessage": told}]
        else:
            causes = _field_name_causes(catalog.release, target, name)
        if causes:
            entries.append(entry_of("fieldMetadata", new_field(catalog.release, name, target), causes))
    return entries
