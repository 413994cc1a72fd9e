"""Write prepared rows into a destination exactly once, know what was done, and take it back."""

from dentlib.loading.adopting import KeptField, kept_fields
from dentlib.loading.audit_log import write_audit_log
from dentlib.loading.deciding import Carried, Choice, Mark, decide
from dentlib.loading.decision_files import (
    CONFLICTS_FILE,
    DELETIONS_FILE,
    ConflictLine,
    DeletionLine,
    conflict_lines,
    deletion_lines,
    read_choices,
)
from dentlib.loading.decisions import Absent, Conflict, record_deletions
from dentlib.loading.delta import Deletion, DeltaPlan, plan_delta
from dentlib.loading.files import refused_files
from dentlib.loading.forecast import calls_by_step, forecast
from dentlib.loading.history import last_run, open_run, rolled_back_at, runs, switch_history, switches_off
from dentlib.loading.ledger import Ledger
from dentlib.loading.listing import Undecided, list_lost, list_undecided
from dentlib.loading.load import LoadResult, load
from dentlib.loading.lock import WriterLock
from dentlib.loading.match_facts import match_facts
from dentlib.loading.matching import Matches, match, remembered
from dentlib.loading.owners import Reassigned, reassign
from dentlib.loading.package import take_up, write_package
from dentlib.loading.patience import Patience
from dentlib.loading.probe import ProbeFacts, probe
from dentlib.loading.quiet import quiet, restore_switches
from dentlib.loading.readback import compare_record, field_types, normalise_equal
from dentlib.loading.rollback import preview, rollback
from dentlib.loading.schema import apply_schema
from dentlib.loading.snapshot import Snapshot, ensure_baseline, snapshot
from dentlib.loading.updating import FieldConflict
from dentlib.loading.verify import LogFacts, verify_log

__all__ = [
    "CONFLICTS_FILE",
    "DELETIONS_FILE",
    "Absent",
    "Carried",
    "Choice",
    "Conflict",
    "ConflictLine",
    "Deletion",
    "DeletionLine",
    "DeltaPlan",
    "FieldConflict",
    "KeptField",
    "Ledger",
    "LoadResult",
    "LogFacts",
    "Mark",
    "Matches",
    "Patience",
    "ProbeFacts",
    "Reassigned",
    "Snapshot",
    "Undecided",
    "WriterLock",
    "apply_schema",
    "calls_by_step",
    "compare_record",
    "conflict_lines",
    "decide",
    "deletion_lines",
    "ensure_baseline",
    "field_types",
    "forecast",
    "kept_fields",
    "last_run",
    "list_lost",
    "list_undecided",
    "load",
    "match",
    "match_facts",
    "normalise_equal",
    "open_run",
    "plan_delta",
    "preview",
    "probe",
    "quiet",
    "read_choices",
    "reassign",
    "record_deletions",
    "refused_files",
    "remembered",
    "restore_switches",
    "rollback",
    "rolled_back_at",
    "runs",
    "snapshot",
    "switch_history",
    "switches_off",
    "take_up",
    "verify_log",
    "write_audit_log",
    "write_package",
]
