"""Tests of the vocabularies: shared terms, overlays, and the matching of headers."""

from __future__ import annotations

import pytest

from dentlib.errors import UsageError
from dentlib.privacy import IDENTIFYING
from dentlib.vocabulary import known_sources, load_vocabulary
from dentlib.vocabulary.match import SURE, TableShape, assign, split_words


def test_an_unknown_product_names_the_known_ones() -> None:
    """Someone who mistypes a product sees what there is."""
    with pytest.raises(UsageError, match="no vocabulary for `dentosoft`") as error:
        load_vocabulary("dentosoft")
    assert "dent-o-soft" in error.value.hint


@pytest.mark.parametrize("source", known_sources())
def test_every_vocabulary_is_whole(source: str) -> None:
    """References lead to objects with a key, identifiers are known classes, made-of fields exist."""
    vocabulary = load_vocabulary(source)
    for words in vocabulary.objects.values():
        assert words.tables
        for field in words.fields.values():
            assert not field.identifier or field.identifier in IDENTIFYING
            if field.references:
                assert vocabulary.objects[field.references].key


def test_an_overlay_goes_before_the_shared_terms() -> None:
    """A product's own words stand first; the shared ones stay."""
    aliases = load_vocabulary("dent-o-soft").objects["patient"].fields["patient_id"].aliases
    assert aliases[0] == "pat num"
    assert "hasta no" in aliases


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("PatNum", ("pat", "num")),
        ("WirelessPhone2", ("wireless", "phone", "2")),
        ("DOĞUM TARİHİ", ("dogum", "tarihi")),
        ("Doğum Tarihi", ("dogum", "tarihi")),
        ("doğum_tarıhı", ("dogum", "tarihi")),
        ("Prénom", ("prenom",)),
        ("E-Mail", ("e", "mail")),
        ("SSN", ("ssn",)),
        ("date_of_birth", ("date", "of", "birth")),
    ],
)
def test_headers_are_split_into_plain_words(header: str, words: tuple[str, ...]) -> None:
    """Capitals, accents, dotted and dotless i, camelCase and punctuation don't matter."""
    assert split_words(header) == words


HEADERS = [
    ("patients", "PatNum", "patient_id"),
    ("patients", "LName", "last_name"),
    ("patients", "Soyadı", "last_name"),
    ("patients", "Achternaam", "last_name"),
    ("patients", "Prénom", "first_name"),
    ("patients", "Birthdate", "birth_date"),
    ("patients", "DOB", "birth_date"),
    ("patients", "Doğum Tarihi", "birth_date"),
    ("patients", "Geboortedatum", "birth_date"),
    ("patients", "HmPhone", "home_phone"),
    ("patients", "Cep Telefonu", "mobile_phone"),
    ("patients", "Zip", "postcode"),
    ("patients", "EMail", "email"),
    ("patients", "patient_gender", "gender"),
    ("carriers", "CarrierName", "name"),
    ("procedures", "ProcDate", "performed_on"),
    ("claims", "ClaimNo", "claim_number"),
    ("claims", "ClaimNum", "claim_id"),
]


@pytest.mark.parametrize(("table", "header", "field"), HEADERS)
def test_a_header_is_recognised_in_its_table(table: str, header: str, field: str) -> None:
    """One header at a time, beside columns that make the table what it is."""
    key = {"patients": "Id", "claims": "Carrier"}.get(table, "Name")
    columns = (header,) if header in ("PatNum", "CarrierName") else (header, key)
    match = assign([TableShape(table, columns)], load_vocabulary("dent-o-soft")).tables[table]
    assert match.columns[header].field == field, match


def test_one_object_goes_to_one_table_unless_the_export_splits_it() -> None:
    """Two tables with the same columns are one object in two parts; with other columns, only the better one."""
    vocabulary = load_vocabulary("other")
    columns = ("Id", "LastName", "FirstName", "BirthDate")
    split = assign([TableShape("patients_1", columns), TableShape("patients_2", columns)], vocabulary)
    assert split.table_of("patient") == ("patients_1", "patients_2")
    other = assign([TableShape("patients", columns), TableShape("patients_old", ("Id", "Name"))], vocabulary)
    assert other.table_of("patient") == ("patients",)


def test_what_is_not_known_stays_unrecognised() -> None:
    """A table of supplies is not forced into any object, and a column of its own words into no field."""
    vocabulary = load_vocabulary("other")
    found = assign([TableShape("supplies", ("SKU", "Quantity", "ReorderLevel"))], vocabulary)
    assert found.tables["supplies"].object == ""
    assert found.tables["supplies"].columns["SKU"].field == ""
    patients = assign([TableShape("patients", ("Id", "Last Name", "Shoe size"))], vocabulary).tables["patients"]
    assert patients.columns["Shoe size"].field == ""
    assert patients.columns["Last Name"].confidence >= SURE


def test_a_column_and_a_field_are_matched_once() -> None:
    """Two headers for one field: the better one gets it, the other stays free."""
    match = assign([TableShape("patients", ("Id", "E-Mail", "EMail Address"))], load_vocabulary("other"))
    fields = [c.field for c in match.tables["patients"].columns.values() if c.field]
    assert len(fields) == len(set(fields))
