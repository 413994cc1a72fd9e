"""What an export is and what is wrong with it, before anybody decides anything about it."""

from dentlib.audit.examine import audit, require_known_tables

__all__ = ["audit", "require_known_tables"]
