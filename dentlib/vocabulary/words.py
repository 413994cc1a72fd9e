"""The shape of a vocabulary, as people write it in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dentlib.privacy import IDENTIFYING

FieldType = Literal[
    "key",
    "text",
    "name",
    "date",
    "datetime",
    "money",
    "integer",
    "boolean",
    "phone",
    "email",
    "code",
    "choice",
    "free_text",
    "path",
]


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldWords(_Words):
    """One logical field of a source object, and what products call it.

    `identifier`: class of `privacy.IDENTIFYING`, empty when it identifies nobody. `references`: the object whose key
    it holds. `values`: canonical value → spellings, for recognising unknown codes. `made_of`: logical fields that,
    joined by a blank, stand for this one where no column of its own exists. `mapped_list`: its set of values belongs
    to the export's structure, so that an unseen value voids an approval.
    """

    label: str
    type: FieldType
    aliases: tuple[str, ...] = ()
    identifier: str = ""
    references: str = ""
    required: bool = False
    values: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    made_of: tuple[str, ...] = ()
    mapped_list: bool = False

    @model_validator(mode="after")
    def _known_identifier(self) -> FieldWords:
        if self.identifier and self.identifier not in IDENTIFYING:
            raise ValueError(f"identifier `{self.identifier}` is none of: {', '.join(sorted(IDENTIFYING))}")
        return self


class ObjectWords(_Words):
    """One kind of thing in a source system.

    `tables`: what its table or file is called. `key`: logical name of the field that identifies a row; empty when
    the product gives none (rows are then told apart by their content). `expected`: its absence from an export is
    flagged. `kind`: `definition` for workflows, views and the like, which are never migrated.
    """

    label: str
    tables: tuple[str, ...]
    key: str = ""
    kind: Literal["record", "definition"] = "record"
    expected: bool = False
    fields: Mapping[str, FieldWords]


class Vocabulary(_Words):
    """Everything that is known of what one source product calls its things."""

    source: str
    label: str
    abbreviations: Mapping[str, str] = Field(default_factory=dict)
    objects: Mapping[str, ObjectWords]

    @model_validator(mode="after")
    def _references_exist(self) -> Vocabulary:
        for name, words in self.objects.items():
            if words.key and words.key not in words.fields:
                raise ValueError(f"{name}: key `{words.key}` is not one of its fields")
            for field_name, field in words.fields.items():
                if field.references and field.references not in self.objects:
                    raise ValueError(f"{name}.{field_name}: references unknown object `{field.references}`")
                for part in field.made_of:
                    if part not in words.fields:
                        raise ValueError(f"{name}.{field_name}: made of unknown field `{part}`")
        return self

    def field(self, object_name: str, field_name: str) -> FieldWords | None:
        """Return a field's words, or None where the vocabulary has no such object or field."""
        words = self.objects.get(object_name)
        return None if words is None else words.fields.get(field_name)
