"""The one button of the notebooks: take everything back, once the workspace's name has been typed."""

from __future__ import annotations

import os
from html import escape
from typing import Any

import ipywidgets as widgets

from dentlib import stages
from dentlib.errors import DentlibError
from dentlib.facts import RollbackFacts
from dentlib.notebook.progress import show_progress
from dentlib.results import RUN_FOLDER, StageResult


class RollbackButton:
    """A field for the workspace's name and a button that does the rollback; disabled until something is typed.

    In a notebook that is executed without a person there is nothing to press: it says the command instead.
    """

    def __init__(self, preview: StageResult[RollbackFacts]) -> None:
        self._engagement = preview.engagement
        self._done = not preview.facts.preview
        self.name = widgets.Text(
            placeholder="the workspace's name", description="Workspace", layout=widgets.Layout(width="28em")
        ).add_class("t-workspace")
        self.button = widgets.Button(
            description="Put the CRM back as it was", button_style="danger", disabled=True,
            layout=widgets.Layout(width="18em"),
        ).add_class("t-rollback")  # fmt: skip
        self.shown = widgets.Output()
        self.name.observe(self._typed, "value")
        self.button.on_click(self._pressed)

    def _typed(self, change: Any) -> None:
        self.button.disabled = self._done or not change["new"].strip()

    def _pressed(self, _: Any) -> None:
        self.button.disabled = self.name.disabled = True
        self.shown.clear_output()
        typed = self.name.value.strip()
        try:
            with self.shown:
                result = stages.rollback(self._engagement, yes=True, workspace=typed, progress=show_progress())
        except DentlibError as error:  # wrong name, locked, unreachable: said here, and it may be pressed again
            told = f"<p><b>{escape(error.message)}</b><br>{escape(error.hint)}</p>"
            self.shown.append_display_data(widgets.HTML(told))
            self.button.disabled = self.name.disabled = False
            return
        stages.save(result)
        self._done = True
        self.shown.append_display_data(result)
        self.shown.append_display_data(result.section("proof"))

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if os.environ.get(RUN_FOLDER) or self._done:
            command = f"to do it: dentlib rollback {self._engagement} --yes --workspace NAME"
            return {"text/plain": "done" if self._done else command}
        return widgets.VBox([widgets.HBox([self.name, self.button]), self.shown])._repr_mimebundle_(**options)


def rollback_button(preview: StageResult[RollbackFacts]) -> RollbackButton:
    """Return the button that does what the preview shows. Nothing happens until a person types the name and presses."""
    return RollbackButton(preview)
