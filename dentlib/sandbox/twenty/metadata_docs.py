"""The documents of metadata rows: objects, fields, views, indexes."""

from __future__ import annotations

from dentlib.sandbox.twenty.catalog import Field, Object
from dentlib.sandbox.twenty.ids import new_id, new_ids, stable_id
from dentlib.sandbox.twenty.refusals import Json
from dentlib.sandbox.twenty.state import dumps
from dentlib.sandbox.twenty.workspace import Workspace

STANDARD_APPLICATION = stable_id("application", "standard")
CUSTOM_APPLICATION = stable_id("application", "custom")
OPTION_KEYS = ("color", "label", "value", "position")


def object_doc(given: Json, space_id: str, now: str, *, custom: bool) -> Json:
    """A complete object document from what is given."""
    name = given["nameSingular"]
    return {
        "id": new_id(),
        "universalIdentifier": new_id() if custom else stable_id("object", name),
        "applicationId": CUSTOM_APPLICATION if custom else STANDARD_APPLICATION,
        "nameSingular": name,
        "namePlural": given["namePlural"],
        "labelSingular": given["labelSingular"],
        "labelPlural": given["labelPlural"],
        "description": given.get("description"),
        "icon": given.get("icon"),
        "shortcut": given.get("shortcut"),
        "color": given.get("color"),
        "isRemote": False,
        "isActive": True,
        "isSystem": bool(given.get("isSystem")),
        "isUIEditable": True,
        "isUICreatable": True,
        "isUIReadOnly": False,
        "isSearchable": bool(given.get("isSearchable", custom)),
        "isLabelSyncedWithName": bool(given.get("isLabelSyncedWithName")),
        "workspaceId": space_id,
        "imageIdentifierFieldMetadataId": None,
        "labelIdentifierFieldMetadataId": None,
        "createdAt": now,
        "updatedAt": now,
        "custom": custom,
    }


def field_doc(given: Json, owner: Json, now: str, field_id: str, *, custom: bool) -> Json:
    """A complete field document from what is given."""
    system = bool(given.get("isSystem"))
    editable = (given["name"] == "position" or not system) and not given.get("readOnly")
    return {
        "id": field_id,
        "universalIdentifier": new_id() if custom else stable_id("field", owner["nameSingular"], given["name"]),
        "applicationId": CUSTOM_APPLICATION if custom else STANDARD_APPLICATION,
        "type": given["type"],
        "name": given["name"],
        "label": given["label"],
        "description": given.get("description"),
        "icon": given.get("icon"),
        "isActive": given.get("isActive", True),
        "isSystem": system,
        "isUIEditable": editable,
        "isUIReadOnly": not editable,
        "isNullable": given.get("isNullable", True),
        "isUnique": bool(given.get("isUnique")),
        "defaultValue": given.get("defaultValue"),
        "options": given.get("options"),
        "settings": given.get("settings"),
        "workspaceId": owner["workspaceId"],
        "objectMetadataId": owner["id"],
        "isLabelSyncedWithName": bool(given.get("isLabelSyncedWithName")),
        "morphId": given.get("morphId"),
        "morph": given.get("morph"),
        "createdAt": now,
        "updatedAt": now,
        "custom": custom,
        "relation": None,
    }


def add_view(space: Workspace, obj: Object) -> None:
    """Add the default table view of an object, with the fields it shows."""
    view_id = new_id()
    doc = {
        "id": view_id,
        "name": "All {objectLabelPlural}",
        "objectMetadataId": obj.id,
        "type": "TABLE",
        "key": "INDEX",
        "icon": "IconList",
        "position": 0,
        "isCompact": False,
        "workspaceId": space.id,
        "createdAt": obj.doc["createdAt"],
        "updatedAt": obj.doc["createdAt"],
    }
    space.state.db.execute("INSERT INTO view VALUES (?,?,?,?)", (space.ws, view_id, obj.slot, dumps(doc)))
    shown = [one for one in obj.fields.values() if not one.doc["isSystem"] and not one.is_to_many]
    add_view_fields(space, view_id, shown)


def add_view_fields(space: Workspace, view_id: str, shown: list[Field]) -> None:
    """Show fields in a view."""
    rows = []
    for made_id, one in zip(new_ids(len(shown)), shown, strict=True):
        doc = {
            "id": made_id,
            "viewId": view_id,
            "fieldMetadataId": one.id,
            "isVisible": True,
            "size": 150,
            "position": one.slot,
        }
        rows.append((space.ws, made_id, view_id, one.slot, dumps(doc)))
    space.state.db.executemany("INSERT INTO view_field VALUES (?,?,?,?,?)", rows)


def add_index(space: Workspace, one: Field, now: str) -> None:
    """Note the unique index of a field."""
    doc = {
        "id": new_id(),
        "name": f"IDX_UNIQUE_{one.doc['universalIdentifier'].replace('-', '')[:27]}",
        "isUnique": True,
        "indexType": "BTREE",
        "indexWhereClause": None,
        "fields": [one.id],
        "createdAt": now,
        "updatedAt": now,
    }
    space.state.db.execute("INSERT INTO index_metadata VALUES (?,?,?,?)", (space.ws, doc["id"], one.obj, dumps(doc)))
