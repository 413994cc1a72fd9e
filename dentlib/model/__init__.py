"""The nouns that rooms hand to each other: problems, outcomes, the destination's schema, load steps, progress.

Frozen and slotted; nothing here opens a file or a socket. Facts that pages show are in `dentlib.facts`.
"""

from dentlib.model.destination import (
    CallStats,
    Capabilities,
    Destination,
    FileTicket,
    LastWrite,
    Member,
    ProbedFact,
    Reaction,
    Switch,
    Workspace,
)
from dentlib.model.schema import (
    Decision,
    DestinationField,
    DestinationObject,
    DestinationSchema,
    Option,
    SchemaItem,
    SchemaPlan,
    WantedField,
    WantedObject,
    WantedSchema,
)
from dentlib.model.steps import (
    PREPARED_OUTCOMES,
    PREPARED_PROBLEMS,
    LoadStep,
    MatchRules,
)
from dentlib.model.values import (
    ID_NAMESPACE,
    JSON,
    Outcome,
    Problem,
    Progress,
    Severity,
    Silence,
    content_hash,
    record_id,
)

__all__ = [
    "ID_NAMESPACE",
    "JSON",
    "PREPARED_OUTCOMES",
    "PREPARED_PROBLEMS",
    "CallStats",
    "Capabilities",
    "Decision",
    "Destination",
    "DestinationField",
    "DestinationObject",
    "DestinationSchema",
    "FileTicket",
    "LastWrite",
    "LoadStep",
    "MatchRules",
    "Member",
    "Option",
    "Outcome",
    "ProbedFact",
    "Problem",
    "Progress",
    "Reaction",
    "SchemaItem",
    "SchemaPlan",
    "Severity",
    "Silence",
    "Switch",
    "WantedField",
    "WantedObject",
    "WantedSchema",
    "Workspace",
    "content_hash",
    "record_id",
]
