"""The rollback button: nothing without a typed name, errors are shown, and a person is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dentlib import stages
from dentlib.documents.gallery_loads import rollback_facts
from dentlib.errors import UsageError
from dentlib.notebook import rollback_button
from dentlib.results import RUN_FOLDER, StageResult


@dataclass
class Called:
    """What the button asked of the stage."""

    names: list[str]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Called:
    """A stage that notes what it is asked, and wants the name Bright Smile."""
    asked = Called([])

    def rollback(name: str, *, yes: bool, workspace: str, progress: Any) -> StageResult[Any]:
        asked.names.append(workspace)
        if workspace != "Bright Smile":
            raise UsageError("the workspace's name must be typed <b>", "type it")
        return StageResult("rollback", name, rollback_facts(), (), (), 0, tmp_path)

    monkeypatch.delenv(RUN_FOLDER, raising=False)
    monkeypatch.setattr(stages, "rollback", rollback)
    return asked


def preview(tmp_path: Path) -> StageResult[Any]:
    """What the notebook's first cell returned."""
    return StageResult("rollback", "demo", rollback_facts(preview=True), (), (), 0, tmp_path)


def test_it_can_be_pressed_only_after_a_name_was_typed(called: Called, tmp_path: Path) -> None:
    """A wrong name changes nothing and may be mended; the right one works once."""
    button = rollback_button(preview(tmp_path))
    assert button.button.disabled
    button.name.value = "Smile"
    assert not button.button.disabled
    button.button.click()
    assert called.names == ["Smile"]
    assert "typed &lt;b&gt;" in str(button.shown.outputs)
    assert not button.button.disabled
    button.name.value = " Bright Smile "
    button.button.click()
    assert called.names == ["Smile", "Bright Smile"]
    assert button.button.disabled
    assert (tmp_path / "result.json").is_file()
    button.name.value = "Bright Smile again"
    assert button.button.disabled


def test_without_a_person_it_names_the_command(called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that a machine executes holds no widget, and what was done can't be done again."""
    monkeypatch.setenv(RUN_FOLDER, str(tmp_path))
    assert "dentlib rollback demo --yes" in rollback_button(preview(tmp_path))._repr_mimebundle_()["text/plain"]
    done = StageResult("rollback", "demo", rollback_facts(), (), (), 0, tmp_path)
    assert rollback_button(done)._repr_mimebundle_() == {"text/plain": "done"}
    assert called.names == []
