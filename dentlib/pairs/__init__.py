"""What becomes what: one YAML per source × destination, read into frozen rules. No product knows itself here."""

from __future__ import annotations

from dentlib.pairs.load import known_pairs, lay_over, load_pair
from dentlib.pairs.model import (
    EVERYBODY,
    Choice,
    Condition,
    DatePlus,
    Decision,
    FieldRule,
    FileRule,
    LookupRule,
    OwnerRule,
    OwnersTable,
    Pair,
    Related,
    SchemaField,
    SchemaObject,
    SchemaWords,
    ScopeRule,
    Step,
)

__all__ = [
    "EVERYBODY",
    "Choice",
    "Condition",
    "DatePlus",
    "Decision",
    "FieldRule",
    "FileRule",
    "LookupRule",
    "OwnerRule",
    "OwnersTable",
    "Pair",
    "Related",
    "SchemaField",
    "SchemaObject",
    "SchemaWords",
    "ScopeRule",
    "Step",
    "known_pairs",
    "lay_over",
    "load_pair",
]
