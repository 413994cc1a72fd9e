"""What notebooks need besides the stages: progress without junk, the decisions as an object, the strict runner."""

from dentlib.notebook.confirm import rollback_button
from dentlib.notebook.display import decisions_needed
from dentlib.notebook.progress import show_progress

__all__ = ["decisions_needed", "rollback_button", "show_progress"]
