"""Who calls: API keys signed by the workspace, or opaque keys that the owner of the sandbox vouches for."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import orjson

from dentlib.clock import stamp
from dentlib.sandbox.twenty import tokens
from dentlib.sandbox.twenty.ids import new_id
from dentlib.sandbox.twenty.refusals import Json, Refusal
from dentlib.sandbox.twenty.state import State, dumps
from dentlib.sandbox.twenty.versions import Release
from dentlib.sandbox.twenty.workspace import Caller, Workspace

OWNER_KEY = Caller(key_id="00000000-0000-4000-8000-00000000c0de", name="loader", role="admin")
LIMITED = "Limited"
_FRIENDLY = {"id": "z+7x/s", "message": "You must be authenticated to perform this action."}


class Unauthenticated(Refusal):
    """No valid key: REST 401 or 403, GraphQL `UNAUTHENTICATED`."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message, status=401, error="UNAUTHENTICATED", code="UNAUTHENTICATED", sub_code="UNAUTHENTICATED"
        )

    def graphql(self) -> Json:
        body = super().graphql()
        body["extensions"]["userFriendlyMessage"] = dict(_FRIENDLY)
        return body


def missing() -> Refusal:
    """No token at all."""
    return Refusal("Missing authentication token", status=403, error="FORBIDDEN_EXCEPTION", code="FORBIDDEN")


def forbidden_resource(of: Release) -> Refusal:
    """What only a signed-in user may ask."""
    return Refusal("Forbidden resource", status=403, error="Forbidden", code=of.forbidden_code)


def token_hash(token: str) -> str:
    """The form in which an opaque key is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header, if there is one."""
    if not header or not header.lower().startswith("bearer "):
        return None
    return header[7:].strip() or None


def role_doc(label: str, *, settings: bool, destroys: bool = True) -> Json:
    """A role: every record may be read, changed and soft-deleted; `settings`: the data model and all else too."""
    return {
        "id": new_id(),
        "label": label,
        "canUpdateAllSettings": settings,
        "canReadAllObjectRecords": True,
        "canUpdateAllObjectRecords": True,
        "canSoftDeleteAllObjectRecords": True,
        "canDestroyAllObjectRecords": destroys,
        "objectPermissions": [],
    }


def _add_limited_role(space: Workspace) -> None:
    """Make the role of limited keys with the first of them; the built-in Member can't be given to a key."""
    labelled = "SELECT 1 FROM role WHERE ws=? AND json_extract(doc,'$.label')=?"
    if space.state.one(labelled, (space.ws, LIMITED)) is None:
        doc = role_doc(LIMITED, settings=False, destroys=False)
        space.state.db.execute("INSERT INTO role VALUES (?,?,?)", (space.ws, doc["id"], dumps(doc)))


def make_key(
    space: Workspace, *, role: str, name: str, expires_at: datetime | None = None, revoked: bool = False
) -> str:
    """Add an API key to the workspace and return its token. Expires in 100 years unless told."""
    now = space.clock.now()
    expiry = expires_at or now + timedelta(days=36_500)
    key_id = new_id()
    doc = {
        "workspaceId": space.id,
        "id": key_id,
        "name": name,
        "expiresAt": stamp(expiry),
        "revokedAt": stamp(now) if revoked else None,
        "createdAt": stamp(now),
        "updatedAt": stamp(now),
    }
    with space.state.write():
        if role == "limited":
            _add_limited_role(space)
        space.state.db.execute("INSERT INTO api_key VALUES (?,?,?,?)", (space.ws, key_id, role, dumps(doc)))
    claims = {
        "sub": space.id,
        "type": "API_KEY",
        "workspaceId": space.id,
        "iat": int(now.timestamp()),
        "exp": int(expiry.timestamp()),
        "jti": key_id,
    }
    return tokens.sign(claims, space.secret)


def key_caller(state: State, space: Workspace, token: str) -> Caller:
    """Check a signed key of this workspace. Raises Refusal: invalid, expired or revoked."""
    claims = tokens.verify(token, space.secret)
    if claims is None or "jti" not in claims:
        raise Unauthenticated("Token invalid.")
    if claims.get("exp", 0) <= space.clock.now().timestamp():
        raise Unauthenticated("Token has expired.")
    row = state.one("SELECT role, doc FROM api_key WHERE ws=? AND id=?", (space.ws, claims["jti"]))
    if row is None:
        raise Unauthenticated("Token invalid.")
    doc = orjson.loads(row[1])
    if doc["revokedAt"]:
        raise Refusal("This API Key is revoked", status=403, error="FORBIDDEN_EXCEPTION", code="FORBIDDEN")
    return Caller(key_id=doc["id"], name=doc["name"], role=row[0])
