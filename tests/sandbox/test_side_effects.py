"""What the worker writes afterwards, what goes with a record, and what a careful rollback leaves: nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dentlib.sandbox.twenty.snapshot import differences, dump_state


def _names(crm: Any) -> list[str]:
    rows = crm.rest("GET", "timelineActivities?limit=200")["data"]["timelineActivities"]
    return sorted(row["name"] for row in rows)


def _create(crm: Any, path: str, body: dict[str, Any]) -> str:
    answer = crm.rest("POST", path, body, status=201)
    return str(next(iter(answer["data"].values()))["id"])


def test_rows_appear_after_the_answer_not_with_it(crm: Any) -> None:
    """The timeline is empty until the worker has had its turn."""
    person, task = _create(crm, "people", {}), _create(crm, "tasks", {"title": "Call back"})
    _create(crm, "taskTargets", {"taskId": task, "targetPersonId": person})
    assert _names(crm) == []
    crm.settle()
    assert _names(crm) == ["linked-task.created", "person.created", "task.created"]
    linked = crm.rest("GET", "timelineActivities?filter=linkedRecordId[eq]:" + task)["data"]["timelineActivities"][0]
    assert (linked["targetPersonId"], linked["linkedRecordCachedName"]) == (person, "Call back")


def test_the_prefilled_workflow_runs_per_person_until_its_trigger_is_deleted(crm: Any) -> None:
    """Soft-deleting the trigger works at once; restoring it brings the runs back."""
    trigger = crm.rest("GET", "workflowAutomatedTriggers")["data"]["workflowAutomatedTriggers"][0]["id"]

    def runs_after_two_people() -> int:
        crm.rest("POST", "batch/people", [{}, {}], status=201)
        crm.settle()
        return int(crm.graphql("{workflowRuns(first:1){totalCount}}")["data"]["workflowRuns"]["totalCount"])

    assert runs_after_two_people() == 2
    crm.rest("DELETE", f"workflowAutomatedTriggers/{trigger}?soft_delete=true", status=200)
    assert runs_after_two_people() == 2
    crm.rest("PATCH", f"restore/workflowAutomatedTriggers?filter=id[eq]:{trigger}", status=200)
    assert runs_after_two_people() == 4


def test_timelines_go_with_people_and_stay_without_tasks(crm: Any) -> None:
    """A destroyed person takes its rows along; a destroyed task leaves its row with no target."""
    person, task = _create(crm, "people", {}), _create(crm, "tasks", {"title": "t"})
    crm.settle()
    crm.rest("DELETE", f"people/{person}", status=200)
    crm.rest("DELETE", f"tasks/{task}", status=200)
    rows = crm.rest("GET", "timelineActivities")["data"]["timelineActivities"]
    assert [row["name"] for row in rows] == ["task.created"]
    assert all(value is None for key, value in rows[0].items() if key.startswith("target"))


def test_a_careful_rollback_leaves_every_table_as_it_was(crm: Any, state_path: Path) -> None:
    """Timelines by target first, then the records in reverse order, then the trigger back: nothing is left over."""
    crm.settle()
    before = dump_state(state_path)
    old = crm.rest("GET", "workflowAutomatedTriggers")["data"]["workflowAutomatedTriggers"][0]
    crm.rest("DELETE", f"workflowAutomatedTriggers/{old['id']}?soft_delete=true", status=200)
    people = [_create(crm, "people", {"emails": {"primaryEmail": f"p{n}@example.com"}}) for n in range(5)]
    tasks = [_create(crm, "tasks", {"title": str(n)}) for n in range(5)]
    for person, task in zip(people, tasks, strict=True):
        _create(crm, "taskTargets", {"taskId": task, "targetPersonId": person})
    crm.settle()
    ids = ",".join(f'"{task}"' for task in tasks)
    crm.rest("DELETE", f"timelineActivities?filter=targetTaskId[in]:[{ids}]", status=200)
    crm.rest("DELETE", f"tasks?filter=id[in]:[{ids}]", status=200)
    people_ids = ",".join(f'"{person}"' for person in people)
    crm.rest("DELETE", f"people?filter=id[in]:[{people_ids}]", status=200)
    crm.rest("PATCH", f"restore/workflowAutomatedTriggers?filter=id[eq]:{old['id']}", status=200)
    crm.rest("PATCH", f"workflowAutomatedTriggers/{old['id']}", {"updatedAt": old["updatedAt"]}, status=200)
    assert differences(before, dump_state(state_path)) == {}


def test_a_snapshot_tells_what_differs(crm: Any, state_path: Path) -> None:
    """One more record is seen in its table; the control of the comparison itself."""
    crm.settle()
    before = dump_state(state_path)
    _create(crm, "companies", {"name": "One more"})
    crm.settle()
    assert set(differences(before, dump_state(state_path))) == {"link", "record"}
