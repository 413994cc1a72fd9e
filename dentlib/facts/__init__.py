"""What stages find out, as frozen data. Pages, `--json` and `result.json` are three renderings of these facts.

Every value that came from an export is either a count, a name of a table, column or code, or has passed
`dentlib.privacy` (fields named `masked_…`), except in `DiffRow`, which only leaves unmasked with `--reveal`.
"""

from dentlib.facts.export import (
    AuditFacts,
    ColumnFacts,
    FileFacts,
    Finding,
    IntakeFacts,
    RelationshipFacts,
    TableFacts,
)
from dentlib.facts.forecast import (
    Forecast,
    PreviewFacts,
    StepForecast,
)
from dentlib.facts.households import HouseholdFacts
from dentlib.facts.load import (
    CheckFacts,
    CutoverFacts,
    CutoverLine,
    DiffRow,
    ReasonCount,
    RollbackFacts,
    RollbackLine,
    RunFacts,
    SampleFacts,
    StepFacts,
    SwitchFacts,
)
from dentlib.facts.mapping import (
    AccessRow,
    MapLine,
    MappingFacts,
    OwnerRow,
    ValueMapFacts,
)
from dentlib.facts.matching import (
    MatchFacts,
    MatchRuleFacts,
    MatchStepFacts,
)
from dentlib.facts.package import PackageFacts, PackageFile
from dentlib.facts.reconciliation import (
    ExplainedFacts,
    FileFactsBack,
    GroupFacts,
    LinkFacts,
    NamedDifference,
    ReconciliationFacts,
    StepCounts,
    SumFacts,
)

__all__ = [
    "AccessRow",
    "AuditFacts",
    "CheckFacts",
    "ColumnFacts",
    "CutoverFacts",
    "CutoverLine",
    "DiffRow",
    "ExplainedFacts",
    "FileFacts",
    "FileFactsBack",
    "Finding",
    "Forecast",
    "GroupFacts",
    "HouseholdFacts",
    "IntakeFacts",
    "LinkFacts",
    "MapLine",
    "MappingFacts",
    "MatchFacts",
    "MatchRuleFacts",
    "MatchStepFacts",
    "NamedDifference",
    "OwnerRow",
    "PackageFacts",
    "PackageFile",
    "PreviewFacts",
    "ReasonCount",
    "ReconciliationFacts",
    "RelationshipFacts",
    "RollbackFacts",
    "RollbackLine",
    "RunFacts",
    "SampleFacts",
    "StepCounts",
    "StepFacts",
    "StepForecast",
    "SumFacts",
    "SwitchFacts",
    "TableFacts",
    "ValueMapFacts",
]
