"""Records over HTTP: atomic creates, upserts that are not, unique values, soft delete against destroy, relations."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

CREATE = "mutation($d:[PersonCreateInput!]!){createPeople(data:$d){id}}"
UPSERT = "mutation($d:[PersonCreateInput!]!){createPeople(data:$d,upsert:true){id jobTitle deletedAt}}"


def _id() -> str:
    return str(uuid.uuid4())


def _person(crm: Any, **data: Any) -> dict[str, Any]:
    return dict(crm.rest("POST", "people", data, status=201)["data"]["createPerson"])


def test_a_create_batch_is_all_or_nothing(crm: Any) -> None:
    """One duplicate e-mail writes nothing, and REST says neither field nor record."""
    _person(crm, emails={"primaryEmail": "taken@example.com"})
    batch = [{"jobTitle": "atom"}, {"jobTitle": "atom", "emails": {"primaryEmail": "TAKEN@example.com"}}]
    answer = crm.rest("POST", "batch/people", batch, status=400)
    assert answer["messages"] == ["A duplicate entry was detected"]
    assert crm.rest("GET", 'people?filter=jobTitle[eq]:"atom"')["totalCount"] == 0


def test_an_upsert_keeps_its_updates_when_its_inserts_fail(crm: Any) -> None:
    """Updates run first and stay; the answer is the insert's error."""
    there = _person(crm, jobTitle="before")
    batch = [{"id": there["id"], "jobTitle": "after"}, {"companyId": _id()}]
    answer = crm.graphql(UPSERT, d=batch)
    assert "foreign key" in answer["errors"][0]["message"]
    assert crm.rest("GET", f"people/{there['id']}")["data"]["person"]["jobTitle"] == "after"


def test_an_upsert_answers_updated_records_first(crm: Any) -> None:
    """Updated before inserted, so answers must be matched by id."""
    there = _person(crm)["id"]
    first, last = _id(), _id()
    answer = crm.graphql(UPSERT, d=[{"id": first}, {"id": there, "jobTitle": "x"}, {"id": last}])
    assert [one["id"] for one in answer["data"]["createPeople"]] == [there, first, last]


def test_an_upsert_matches_any_unique_field_and_restores(crm: Any) -> None:
    """The e-mail finds the soft-deleted record, whose id wins over the id sent, and brings it back."""
    there = _person(crm, emails={"primaryEmail": "family@example.com"})["id"]
    crm.rest("DELETE", f"people/{there}?soft_delete=true", status=200)
    answer = crm.graphql(UPSERT, d=[{"id": _id(), "emails": {"primaryEmail": "Family@example.com"}, "jobTitle": "2nd"}])
    assert answer["data"]["createPeople"] == [{"id": there, "jobTitle": "2nd", "deletedAt": None}]


def test_keys_of_two_records_in_one_upsert_are_a_conflict(crm: Any) -> None:
    """The id names one record, the e-mail another."""
    one, other = _person(crm)["id"], _person(crm, emails={"primaryEmail": "o@example.com"})["id"]
    answer = crm.graphql(UPSERT, d=[{"id": one, "emails": {"primaryEmail": "o@example.com"}}])
    assert answer["errors"][0]["extensions"]["subCode"] == "UPSERT_MULTIPLE_MATCHING_RECORDS_CONFLICT"
    assert other != one


@pytest.mark.parametrize("soft_deleted", [False, True])
def test_the_record_in_conflict_is_named_only_when_it_lives(crm: Any, soft_deleted: bool) -> None:
    """GraphQL tells conflictingRecordId, but not of a soft-deleted twin."""
    there = _person(crm, emails={"primaryEmail": "twin@example.com"})["id"]
    if soft_deleted:
        crm.rest("DELETE", f"people/{there}?soft_delete=true")
    answer = crm.graphql(CREATE, d=[{"jobTitle": "a"}, {"emails": {"primaryEmail": "twin@example.com"}}])
    extensions = answer["errors"][0]["extensions"]
    assert extensions.get("conflictingRecordId") == (None if soft_deleted else there)


def test_an_alias_comes_back_in_success_and_in_error(crm: Any) -> None:
    """The alias on the single root field is a free correlation id."""
    good = crm.graphql('mutation{r17_ab: createPeople(data:[{jobTitle:"x"}]){id}}')
    bad = crm.graphql("mutation{r18_cd: createPeople(data:[{nope:1}]){id}}")
    assert list(good["data"]) == ["r17_ab"]
    assert bad["data"] == {"r18_cd": None}


@pytest.mark.parametrize(("path", "rows", "status"), [("batch/people", 200, 201), ("batch/people", 201, 400)])
def test_two_hundred_records_a_call(crm: Any, path: str, rows: int, status: int) -> None:
    """The 201st refuses the whole call."""
    crm.rest("POST", path, [{"jobTitle": "many"}] * rows, status=status)


def test_soft_delete_hides_and_destroy_removes(crm: Any) -> None:
    """REST DELETE destroys; soft_delete=true hides until a filter speaks of deletedAt, or a restore."""
    there = _person(crm)["id"]
    crm.rest("DELETE", f"people/{there}?soft_delete=true", status=200)
    crm.rest("GET", f"people/{there}", status=404)
    assert crm.rest("GET", f"people?filter=id[eq]:{there},deletedAt[is]:NOT_NULL")["totalCount"] == 1
    crm.rest("PATCH", f"restore/people?filter=id[eq]:{there}", status=200)
    crm.rest("GET", f"people/{there}", status=200)
    crm.rest("DELETE", f"people/{there}", status=200)
    crm.rest("DELETE", f"people/{there}", status=404)


def test_destroying_a_company_leaves_its_people(crm: Any) -> None:
    """People stay, with no company; their other data are untouched."""
    company = crm.rest("POST", "companies", {"name": "Gone"})["data"]["createCompany"]["id"]
    there = _person(crm, companyId=company, jobTitle="kept")["id"]
    crm.rest("DELETE", f"companies/{company}", status=200)
    person = crm.rest("GET", f"people/{there}")["data"]["person"]
    assert (person["companyId"], person["jobTitle"]) == (None, "kept")


def test_destroying_a_note_takes_its_targets(crm: Any) -> None:
    """The links of a note or task go with it; the person stays."""
    person, note = _person(crm)["id"], crm.rest("POST", "notes", {"title": "n"})["data"]["createNote"]["id"]
    crm.rest("POST", "noteTargets", {"noteId": note, "targetPersonId": person}, status=201)
    crm.rest("DELETE", f"notes/{note}", status=200)
    assert crm.rest("GET", "noteTargets")["totalCount"] == 0
    crm.rest("GET", f"people/{person}", status=200)


def test_own_id_dates_and_author_are_kept(crm: Any) -> None:
    """id, createdAt, updatedAt and createdBy are ours to set; updatedBy never is."""
    mine = str(uuid.uuid5(uuid.NAMESPACE_URL, "x"))
    data = {
        "id": mine.upper(),
        "createdAt": "2011-05-06T07:08:09.123Z",
        "updatedAt": "2012-05-06T07:08:09.123Z",
        "createdBy": {"source": "IMPORT", "name": "Front desk"},
        "updatedBy": {"source": "IMPORT", "name": "Nobody"},
    }
    person = _person(crm, **data)
    assert (person["id"], person["createdAt"], person["updatedAt"]) == (mine, data["createdAt"], data["updatedAt"])
    assert (person["createdBy"]["name"], person["updatedBy"]["name"]) == ("Front desk", "loader")


def test_connect_finds_by_unique_value_or_refuses(crm: Any) -> None:
    """Relations by a unique field of the target; no match fails the whole call."""
    url = "https://conn.example.com"
    company = crm.rest("POST", "companies", {"domainName": {"primaryLinkUrl": url}})["data"]["createCompany"]["id"]
    found = _person(crm, company={"connect": {"where": {"domainName": {"primaryLinkUrl": url}}}})
    assert found["companyId"] == company
    where = {"domainName": {"primaryLinkUrl": "https://nobody.example.com"}}
    refused = crm.rest("POST", "people", {"company": {"connect": {"where": where}}}, status=400)
    assert refused["messages"][0].startswith("Expected 1 record to connect to company, but found 0")


def test_a_nul_character_is_a_server_error(crm: Any) -> None:
    """The database can't store it; nothing is written."""
    crm.rest("POST", "people", {"jobTitle": "a\0b"}, status=500)


def test_pages_walk_every_record_once(crm: Any) -> None:
    """Cursors forward and back, under an order with nulls and ties."""
    crm.rest("POST", "batch/people", [{"jobTitle": ["a", "b", None][n % 3]} for n in range(25)], status=201)
    seen: list[str] = []
    cursor = ""
    while True:
        page = crm.rest("GET", f"people?limit=4&order_by=jobTitle[DescNullsLast]{cursor}", status=200)
        seen += [one["id"] for one in page["data"]["people"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = f"&starting_after={page['pageInfo']['endCursor']}"
    assert len(seen) == len(set(seen)) == page["totalCount"]
    back = crm.rest(
        "GET", f"people?limit=4&order_by=jobTitle[DescNullsLast]&ending_before={page['pageInfo']['endCursor']}"
    )
    assert [one["id"] for one in back["data"]["people"]] == seen[-5:-1]


def test_a_limit_over_200_is_cut_and_graphql_is_not(crm: Any) -> None:
    """REST cuts silently; GraphQL's `first` has no cap."""
    crm.rest("POST", "batch/people", [{"jobTitle": "x"}] * 200, status=201)
    crm.rest("POST", "batch/people", [{"jobTitle": "x"}] * 50, status=201)
    assert len(crm.rest("GET", "people?limit=1000")["data"]["people"]) == 200
    assert len(crm.graphql("{people(first:1000){edges{node{id}}}}")["data"]["people"]["edges"]) > 250


def test_unknown_output_fields_are_null_and_unknown_roots_are_errors(crm: Any) -> None:
    """The looseness of the real executor."""
    loose = crm.graphql("{people(first:1){edges{node{id noSuch}}}}")
    assert loose["data"]["people"]["edges"][0]["node"]["noSuch"] is None
    strict = crm.graphql("{patients{edges{node{id}}}}")
    assert strict["errors"][0]["message"] == 'Cannot query field "patients" on type "Query".'


def test_a_long_url_is_431(crm: Any) -> None:
    """420 ids in a filter are over Node's header limit; the answer has no body."""
    ids = ",".join(f'"{_id()}"' for _ in range(420))
    answer = crm.http.get(f"/rest/people?filter=id[in]:[{ids}]")
    assert (answer.status_code, answer.content) == (431, b"")


def test_a_limited_key_may_not_destroy(crm: Any, sandbox: Any, connect: Any) -> None:
    """It creates and soft-deletes, but neither destroys nor changes the schema."""
    limited = connect(sandbox, sandbox.make_key(role="limited", name="member role"))
    there = limited.rest("POST", "people", {}, status=201)["data"]["createPerson"]["id"]
    assert limited.rest("DELETE", f"people/{there}", status=400)["code"] == "PERMISSION_DENIED"
    limited.rest("DELETE", f"people/{there}?soft_delete=true", status=200)
    limited.rest("GET", "metadata/objects", status=403)
