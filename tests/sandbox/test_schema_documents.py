"""The sandbox's self-descriptions: introspection, strict validation of `/metadata`, OpenAPI documents, refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from graphql import parse

from dentlib.clock import SystemClock
from dentlib.sandbox.twenty import introspect, metadata_rules, openapi
from dentlib.sandbox.twenty.limiter import Limiter
from dentlib.sandbox.twenty.metadata_refusals import MetadataRefused
from dentlib.sandbox.twenty.prefill import create_workspace, read_members
from dentlib.sandbox.twenty.state import State
from dentlib.sandbox.twenty.versions import RELEASES
from dentlib.sandbox.twenty.workspace import SteerableClock, Workspace


@pytest.fixture(scope="module")
def space() -> Iterator[Workspace]:
    """A new workspace, in memory."""
    state, clock = State(None), SteerableClock(SystemClock())
    yield create_workspace(state, clock, Limiter(clock.now_ms, "off"), read_members(None))
    state.close()


def test_introspection_tells_what_a_loader_probes(space: Workspace) -> None:
    """A key learns from `__type` which links, columns and arguments this version has."""
    schema = introspect.core_schema(space.catalog)
    link = 'target: __type(name: "TaskTargetCreateInput") {inputFields {name}}'
    asked = f"{{{link} __schema {{mutationType {{fields {{name args {{name}}}}}}}}}}"
    data = introspect.introspection(schema, parse(asked), None, None)["data"]
    assert {"taskId", "targetPersonId", "targetPerson"} <= {field["name"] for field in data["target"]["inputFields"]}
    mutations = {
        field["name"]: {arg["name"] for arg in field["args"]} for field in data["__schema"]["mutationType"]["fields"]
    }
    assert mutations["createPeople"] == {"data", "upsert"}
    assert "destroyTimelineActivities" in mutations


def test_the_files_mutations_of_this_version_are_in_the_metadata_schema() -> None:
    """Both ways of uploading can be found by introspection."""
    asked = parse("{__schema {mutationType {fields {name}}}}")
    data = introspect.introspection(introspect.metadata_schema(RELEASES["2.21"]), asked, None, None)["data"]
    names = {field["name"] for field in data["__schema"]["mutationType"]["fields"]}
    assert {"uploadFilesFieldFile", "createFileUpload", "completeFileUpload", "createOneObject"} <= names
    assert "uploadFile" not in names


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{versionInfo{currentVersion}}", 'Cannot query field "versionInfo" on type "Query".'),
        ("{objects(paging:{first:1}){edges{node{nope}}}}", 'Cannot query field "nope" on type "Object".'),
        ("mutation{deleteOneObject(id:1){id}}", 'Unknown argument "id" on field "Mutation.deleteOneObject".'),
    ],
)
def test_metadata_documents_are_validated_in_the_real_words(document: str, message: str) -> None:
    """`/metadata` validates strictly, and quotes names as graphql-js does."""
    problems = introspect.document_problems(introspect.metadata_schema(RELEASES["2.21"]), parse(document))
    assert message in {problem["message"] for problem in problems}


def test_variables_that_do_not_fit_are_told_apart() -> None:
    """A key that an input type doesn't have is refused with HTTP 400, which the extensions carry."""
    document = parse("mutation($i:UUID!,$u:UpdateFieldInput!){updateOneField(input:{id:$i,update:$u}){id}}")
    variables = {"i": "11111111-1111-4111-8111-000000000001", "u": {"type": "NUMBER"}}
    (problem,) = introspect.variable_problems(introspect.metadata_schema(RELEASES["2.21"]), document, variables, None)
    assert problem["message"] == 'Field "type" is not defined by type "UpdateFieldInput".'
    assert problem["extensions"]["http"] == {"status": 400}


def test_openapi_lists_each_object_and_what_may_be_written(space: Workspace) -> None:
    """Paths for every object; ids and the search vector are not among the properties of a body."""
    document = openapi.core_document(space.catalog, "http://127.0.0.1:1")
    assert set(document["paths"]["/people"]) == {"get", "post", "delete", "patch"}
    written = document["components"]["schemas"]["Person"]["properties"]
    assert {"name", "companyId"} <= set(written)
    assert not {"id", "searchVector"} & set(written)
    assert document["info"]["version"] == "v0.1"
    assert "/objects" in openapi.metadata_document(space.release, "http://127.0.0.1:1")["paths"]


@pytest.mark.parametrize(
    ("name", "kind", "extra", "told"),
    [
        ("plan", "TEXT", {}, "This name is reserved"),
        ("Plan", "TEXT", {}, "Name is not valid"),
        ("a" * 64, "TEXT", {}, "Name is too long"),
        ("jobTitle", "TEXT", {}, 'Name "jobTitle" is not available'),
        ("companyId", "TEXT", {}, 'Name "companyId" is not available'),
        ("nameFirstName", "TEXT", {}, 'Name "nameFirstName" is reserved composite field name'),
        ("fee", "NUMERIC", {}, "Field type NUMERIC is not supported"),
        ("state", "SELECT", {}, "Options are required"),
        ("state", "SELECT", {"options": [{"value": "no", "label": "No"}]}, "Value must be in UPPER_CASE"),
        ("state", "SELECT", {"options": [{"value": "NO", "label": "N, o"}]}, "Label must not contain a comma"),
        ("scan", "FILES", {}, "maxNumberOfValues must be defined"),
        ("whole", "FULL_NAME", {"isUnique": True}, "Unique index cannot be created for field whole of type FULL_NAME"),
        ("key", "TEXT", {"isUnique": True, "defaultValue": "'x'"}, "Unique index cannot be created for field key"),
    ],
)
def test_fields_that_break_a_rule_are_refused_with_the_cause(
    space: Workspace, name: str, kind: str, extra: dict[str, object], told: str
) -> None:
    """The cause is the first error of `fieldMetadata` or `index`, whatever follow-ups stand beside it."""
    person = space.catalog.by_name("person")
    assert person is not None
    with pytest.raises(MetadataRefused) as refused:
        metadata_rules.check_field(space.catalog, person, {"type": kind, "name": name, "label": "L", **extra})
    errors = refused.value.errors
    cause = (errors.get("fieldMetadata") or errors["index"])[0]["errors"][0]
    assert cause["message"].startswith(told)


def test_the_other_side_of_a_relation_needs_a_free_name(space: Workspace) -> None:
    """A relation is refused when its inverse would take a name that its target has."""
    person, note = space.catalog.by_name("person"), space.catalog.by_name("note")
    assert person is not None
    assert note is not None
    payload = {"type": "MANY_TO_ONE", "targetObjectMetadataId": person.id, "targetFieldLabel": "Note targets"}
    given = {"type": "RELATION", "name": "patient", "label": "Patient", "relationCreationPayload": payload}
    with pytest.raises(MetadataRefused) as refused:
        metadata_rules.check_field(space.catalog, note, given)
    assert refused.value.errors["fieldMetadata"][0]["errors"][0]["code"] == "NOT_AVAILABLE"


@pytest.mark.parametrize(
    ("label", "name"), [("Appointments", "appointments"), ("Follow ups", "followUps"), ("Paid by (1st)", "paidBy1st")]
)
def test_inverse_names_are_made_from_labels(label: str, name: str) -> None:
    """The words of the label in camelCase."""
    assert metadata_rules.name_from_label(label) == name
