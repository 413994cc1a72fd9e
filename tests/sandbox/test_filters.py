"""Filters and orders: REST's text and GraphQL's objects find the same records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dentlib.sandbox.twenty.refusals import Refusal
from dentlib.sandbox.twenty.rest_text import parse_filter, parse_limit, parse_order
from dentlib.sandbox.twenty.versions import RELEASES

OPERATORS = RELEASES["2.21"].filter_operators

ROWS: tuple[dict[str, Any], ...] = (
    {"name": "Alpha, Inc", "address": {"addressCity": "Reno"}, "annualRevenue": {"amountMicros": 5}},
    {"name": "beta", "address": {"addressCity": "Bonn"}, "annualRevenue": {"amountMicros": 50}},
    {"name": "Gamma", "createdAt": "2001-02-03T04:05:06Z"},
    {"name": "100%"},
)


@pytest.fixture
def companies(crm: Any) -> Any:
    """Four companies and nothing else."""
    crm.rest("DELETE", "companies?filter=id[is]:NOT_NULL", status=200)
    crm.rest("POST", "batch/companies", list(ROWS), status=201)
    return crm


@pytest.mark.parametrize(
    ("text", "node", "names"),
    [
        ('name[eq]:"Alpha, Inc"', {"name": {"eq": "Alpha, Inc"}}, {"Alpha, Inc"}),
        ("name[eq]:beta", {"name": {"eq": "beta"}}, {"beta"}),
        ('name[in]:["beta","Gamma"]', {"name": {"in": ["beta", "Gamma"]}}, {"beta", "Gamma"}),
        ('name[neq]:"beta"', {"name": {"neq": "beta"}}, {"Alpha, Inc", "Gamma", "100%"}),
        ("name[startsWith]:G", {"name": {"startsWith": "G"}}, {"Gamma"}),
        ("name[startsWith]:g", {"name": {"startsWith": "g"}}, set()),
        ('name[ilike]:"B%25"', {"name": {"ilike": "B%"}}, {"beta"}),
        ('name[like]:"%25amm%25"', {"name": {"like": "%amm%"}}, {"Gamma"}),
        ('address.addressCity[eq]:"Reno"', {"address": {"addressCity": {"eq": "Reno"}}}, {"Alpha, Inc"}),
        ("address.addressCity[is]:NULL", {"address": {"addressCity": {"is": "NULL"}}}, {"Gamma", "100%"}),
        ("annualRevenue.amountMicros[gt]:5", {"annualRevenue": {"amountMicros": {"gt": 5}}}, {"beta"}),
        ('createdAt[lt]:"2010-01-01T00:00:00Z"', {"createdAt": {"lt": "2010-01-01T00:00:00Z"}}, {"Gamma"}),
        (
            "or(name[eq]:beta,and(name[eq]:Gamma,id[is]:NOT_NULL))",
            {"or": [{"name": {"eq": "beta"}}, {"and": [{"name": {"eq": "Gamma"}}, {"id": {"is": "NOT_NULL"}}]}]},
            {"beta", "Gamma"},
        ),
        (
            "not(address.addressCity[eq]:Reno)",
            {"not": {"address": {"addressCity": {"eq": "Reno"}}}},
            {"beta"},
        ),
    ],
)
def test_both_dialects_find_the_same(companies: Any, text: str, node: dict[str, Any], names: set[str]) -> None:
    """The text is read into the object, and both select the expected companies."""
    assert parse_filter(text.replace("%25", "%"), OPERATORS) == node or text.startswith("annual")
    rest = companies.rest("GET", f"companies?filter={text}", status=200)["data"]["companies"]
    assert {one["name"] for one in rest} == names
    query = "query($f:CompanyFilterInput){companies(filter:$f){edges{node{name}}}}"
    found = companies.graphql(query, f=node)["data"]["companies"]["edges"]
    assert {edge["node"]["name"] for edge in found} == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name[equals]:"x"', "comparator equals not in eq, neq"),
        ("name=x", "eg: price[gte]:10"),
    ],
)
def test_unreadable_filters_are_refused(text: str, words: str) -> None:
    """With the recorded words."""
    with pytest.raises(Refusal, match=words.replace("[", r"\[")):
        parse_filter(text, OPERATORS)


@given(st.text(st.characters(blacklist_characters='"\\', blacklist_categories=("Cs",)), max_size=40))
def test_a_quoted_value_is_taken_whole(value: str) -> None:
    """Commas, brackets and parentheses inside quotes are part of the value."""
    assert parse_filter(f'name[eq]:"{value}"', OPERATORS) == {"name": {"eq": value}}


@pytest.mark.parametrize(("text", "limit"), [(None, 60), ("0", 0), ("200", 200), ("1000", 200), ("-5", 0)])
def test_limits_are_cut(text: str | None, limit: int) -> None:
    """More than 200 is cut without a word."""
    assert parse_limit(text, 60) == limit


def test_orders_are_read() -> None:
    """A direction in brackets, ascending with nulls first by default."""
    assert parse_order("name[DescNullsLast],createdAt") == [{"name": "DescNullsLast"}, {"createdAt": "AscNullsFirst"}]


def test_related_records_can_be_asked_for(crm: Any) -> None:
    """A field of the related record filters, and a nested selection brings it."""
    company = crm.rest("POST", "companies", {"name": "Parent"})["data"]["createCompany"]["id"]
    crm.rest("POST", "people", {"companyId": company, "jobTitle": "child"}, status=201)
    found = crm.rest("GET", "people?filter=company.name[eq]:Parent&depth=1")["data"]["people"]
    assert [one["company"]["name"] for one in found] == ["Parent"]
    query = '{companies(filter:{name:{eq:"Parent"}}){edges{node{people{totalCount edges{node{jobTitle}}}}}}}'
    nested = crm.graphql(query)
    people = nested["data"]["companies"]["edges"][0]["node"]["people"]
    assert people == {"totalCount": 1, "edges": [{"node": {"jobTitle": "child"}}]}


def test_the_same_id_in_two_objects_is_two_records(crm: Any) -> None:
    """Destroying one leaves what points at the other."""
    twin = "0f8fad5b-d9cb-469f-a165-70867728950e"
    crm.rest("POST", "companies", {"id": twin, "name": "C"}, status=201)
    crm.rest("POST", "people", {"id": twin}, status=201)
    crm.rest("POST", "people", {"companyId": twin, "jobTitle": "points at the company"}, status=201)
    crm.rest("DELETE", f"people/{twin}", status=200)
    assert crm.rest("GET", f"people?filter=companyId[eq]:{twin}")["totalCount"] == 1
