"""Patients, staff and referrers of the sample practice, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import date, timedelta
from pathlib import Path

from dentlib.samples.names import (
    CITIES,
    FIRST_NAMES,
    LAST_NAMES,
    MAIL_DOMAINS,
    PHONE_SPELLINGS,
    STREET_KINDS,
    STREETS,
    mail_name,
    npi,
    phone,
)
from dentlib.samples.practice import LAYOUTS, Dice, Pool, Practice, Row, Table, catalogue, us

_HOUSEHOLDS = ((1, 60), (2, 15), (3, 15), (4, 10))
_FIRST_HOUSEHOLDS = (3, 3, 1, 1, 1, 1, 1, 1)  # enough families and singles for every kind of trouble in a tiny practice
_IMPOSSIBLE_DATES = ("1987-02-31", "31/02/1985", "1899-13-05", "0000-00-00")
_INVALID_EMAILS = ("none", "no@email", "jane@@mailbox.example", "unknown.example")
_UNKNOWN_GENDERS = ("9", "?", "N/A")
_CARRIERS, _REFERRALS, _PROVIDERS = 12, 12, 6

# (last name, first name, title, specialty, e-mail or None for the member's own, provider?)
_OTHER_STAFF = (
    ("Haddad", "Noor", "Dentist", "General", "", "Y"),
    ("Okoro", "Felix", "Dentist", "Endodontics", "felix.okoro@formerpractice.example", "Y"),
    ("Bergmann", "Tessa", "Dental assistant", "", "", "N"),
)


def build_staff(practice: Practice) -> Table:
    """Make the staff: members of the CRM, one of them spelt untidily, and three who are none."""
    log, table = practice.log, Table("Staff")
    members = json.loads((Path(__file__).parent / "staff.json").read_text(encoding="utf-8"))
    clinical = [member for member in members if member["jobTitle"] not in ("CRM administrator", "Practice manager")]
    managers = [member for member in members if member["jobTitle"] == "Practice manager"]
    people = [(m["lastName"], m["firstName"], m["jobTitle"], "", m["email"], "Y") for m in clinical]
    people += _OTHER_STAFF[:2]
    people += [(m["lastName"], m["firstName"], m["jobTitle"], "", m["email"], "N") for m in managers]
    people += _OTHER_STAFF[2:]
    addresses = {member["email"] for member in members}
    for number, (last, first, title, specialty, email, provider) in enumerate(people, start=1):
        key = str(number)
        if title == "Orthodontist":
            email = f" {email.title()} "
            log.mark("staff_email_untidy", "Staff", key)
        elif not email:
            log.mark("staff_without_email", "Staff", key)
        elif email not in addresses:
            log.mark("staff_email_no_member", "Staff", key)
        cells = (key, last, first, title, specialty or ("Orthodontics" if title == "Orthodontist" else ""))
        table.rows.append(
            dict(
                zip(
                    LAYOUTS["Staff"].columns,
                    (*cells, npi(7000 + number) if provider == "Y" else "", email, phone(900 + number), provider, "Y"),
                    strict=True,
                )
            )
        )
    return table


def build_referrals(practice: Practice) -> Table:
    """Make the referrers: organisations, people who work for one, and people who work for none."""
    dice, log, table = practice.dice("Referrals"), practice.log, Table("Referrals")
    organisations = catalogue()["referral_organisations"]
    for number in range(1, _REFERRALS + 1):
        key, is_firm = str(number), number <= len(organisations)
        row = dict.fromkeys(LAYOUTS["Referrals"].columns, "")
        row |= {"RefNum": key, "NPI": npi(4000 + number), "Phone": phone(500 + number)} | address(dice, "Address")
        row["Specialty"] = catalogue()["specialties"][(number - 1) % len(organisations)]
        if is_firm:
            row |= {"RefKind": "Organization", "OrgName": organisations[number - 1]}
            row["EMail"] = f"office{number}@{mail_name(row['OrgName'])}.example"
            log.mark("referrer_organisations", "Referrals", key)
        else:
            last, first = LAST_NAMES[number * 7], FIRST_NAMES["FM"[number % 2]][number * 3]
            row |= {"RefKind": "Person", "RefTitle": "Dr.", "LName": last, "FName": first}
            row["EMail"] = f"{mail_name(first)}.{mail_name(last)}@doctors.example" if number != _REFERRALS else ""
            log.mark("referrer_persons", "Referrals", key)
            if number % 3:
                row["OrgRefNum"] = str(number - len(organisations) if number <= 10 else 1)
            else:
                log.mark("referrer_persons_without_organisation", "Referrals", key)
        table.rows.append(row)
    return table


def address(dice: Dice, street_column: str) -> Row:
    """Draw a street, city, state and postcode."""
    city, state, prefix = dice.one(CITIES)
    street = f"{dice.between(1, 2999)} {dice.one(STREETS)} {dice.one(STREET_KINDS)}"
    return {street_column: street, "City": city, "State": state, "Zip": f"{prefix}{dice.below(100):02d}"}


def build_patients(practice: Practice) -> Table:
    """Make the patients in households, then spoil some of them."""
    dice, table = practice.dice("Patients"), Table("Patients")
    households: list[list[Row]] = []
    while len(table.rows) < practice.patients:
        drawn = len(households)
        size = _FIRST_HOUSEHOLDS[drawn] if drawn < len(_FIRST_HOUSEHOLDS) else dice.weighted(_HOUSEHOLDS)
        household = _household(practice, dice, len(table.rows) + 1, min(size, practice.patients - len(table.rows)))
        households.append(household)
        table.rows.extend(household)
    _set_statuses(practice, dice, table.rows)
    kept_whole = _spoil_families(practice, dice, households)
    rest = [row for row in table.rows if row["PatNum"] not in kept_whole]
    _spoil_birth_dates(practice, Pool(dice, rest))
    _spoil_names(practice, Pool(dice, rest))
    _spoil_phones(practice, Pool(dice, rest))
    _spoil_codes(practice, dice, rest)
    practice.log.keys["utf8_bom_files"] = [table.file]
    return table


def new_patient(
    practice: Practice, dice: Dice, number: int, last: str, home: Row, *, child: bool, but: Collection[str] = ()
) -> Row:
    """Make one patient without any trouble; their last name and birth date together are theirs alone.

    `but` are first names not to use (those of the same household).
    """
    gender = dice.weighted((("F", 48), ("M", 47), ("X", 2), ("U", 3)))
    first = dice.one([name for name in FIRST_NAMES[gender if gender in FIRST_NAMES else "X"] if name not in but])
    born = _birth_date(practice, dice, last, child)
    created = dice.day(max(date(2012, 1, 2), born + timedelta(days=300)), date(2025, 11, 28))
    row = dict.fromkeys(LAYOUTS["Patients"].columns, "")
    row |= home
    row |= {
        "PatNum": str(number),
        "ChartNo": f"C-{number:05d}",
        "LName": last,
        "FName": first,
        "MiddleI": dice.one("ABCDEFGHJKLMNPRSTW") if dice.chance(0.3) else "",
        "Salutation": {"F": "Ms.", "M": "Mr.", "X": "Mx."}.get(gender, "") if dice.chance(0.5) else "",
        "Birthdate": born.isoformat(),
        "Gender": gender,
        "SSN": f"9{number // 10000 % 100:02d}-{number % 97 + 1:02d}-{number % 10000:04d}" if dice.chance(0.4) else "",
        "GuarantorNum": str(number),
        "PrimProv": str(dice.between(1, _PROVIDERS)),
        "PatStatus": "Active",
        "DoNotContact": "N",
        "MarketingConsent": "N",
        "PreferredChannel": dice.one(("Phone", "Email", "Text", "Text", "Mail", "")),
        "MedAlert": dice.one(catalogue()["med_alerts"]) if dice.chance(0.08) else "",
        "DateCreated": dice.moment(created),
        "DateModified": dice.moment(dice.day(created, date(2026, 1, 2))),
    }
    if dice.chance(0.1):
        row["Preferred"] = first[:3]
    if dice.chance(0.6):
        row |= {"MarketingConsent": "Y", "ConsentDate": us(dice.day(created, date(2025, 12, 30)))}
    if not child and dice.chance(0.85):
        row["EMail"] = f"{mail_name(first)}.{mail_name(last)}{number}@{dice.one(MAIL_DOMAINS)}"
    for column, share in (("HmPhone", 0.5), ("WirelessPhone", 0.92), ("WkPhone", 0.0 if child else 0.15)):
        if dice.chance(share):
            row[column] = phone(practice.next_phone())
    _insure(dice, row)
    if dice.chance(0.12):
        row |= {"ReferredBy": str(dice.between(1, _REFERRALS)), "RefSource": "Referral"}
    elif dice.chance(0.5):
        row["RefSource"] = dice.one(catalogue()["sources"])
    return row


def _insure(dice: Dice, row: Row) -> None:
    if dice.chance(0.7):
        member = f"{dice.one('HKMPW')}{dice.below(10**8):08d}"
        row |= {"CarrierNum": str(dice.between(1, _CARRIERS)), "GroupNo": f"{dice.below(10**5):05d}"}
        row["MemberId"] = member
        if dice.chance(0.08):
            row |= {"Carrier2Num": str(dice.between(1, _CARRIERS)), "Group2No": f"G{dice.below(1000):03d}"}
            row["Member2Id"] = f"2{member}"


def _birth_date(practice: Practice, dice: Dice, last: str, child: bool) -> date:
    first_day, last_day = (date(2009, 1, 1), date(2023, 12, 31)) if child else (date(1936, 1, 1), date(2005, 12, 31))
    while True:
        born = dice.day(first_day, last_day)
        if (last.casefold(), born.isoformat()) not in practice.names_taken:
            practice.names_taken.add((last.casefold(), born.isoformat()))
            return born


def _household(practice: Practice, dice: Dice, first_number: int, size: int) -> list[Row]:
    last, home = dice.one(LAST_NAMES), address(dice, "Addr1")
    home["Addr2"] = f"Apt {dice.between(1, 40)}" if dice.chance(0.2) else ""
    members: list[Row] = []
    for place in range(size):
        names = {member["FName"] for member in members}
        row = new_patient(practice, dice, first_number + place, last, home, child=place >= 2, but=names)
        row["GuarantorNum"] = str(first_number)
        members.append(row)
    return members


def _set_statuses(practice: Practice, dice: Dice, rows: list[Row]) -> None:
    pool = Pool(dice, rows)
    for status, per_mille in (("Deceased", 30), ("Archived", 50), ("Inactive", 90)):
        for row in pool.take(practice.few(len(rows), per_mille)):
            row["PatStatus"] = status
    for row in pool.take(practice.few(len(rows), 40)):
        row["DoNotContact"] = "Y"
        practice.log.mark("do_not_contact", "Patients", row["PatNum"])


def _spoil_families(practice: Practice, dice: Dice, households: list[list[Row]]) -> set[str]:
    """Make families share an address or a number, make twins and double entries; return rows to leave alone."""
    log, count = practice.log, practice.patients
    families = dice.shuffled([household for household in households if len(household) > 1])
    by_mail = families[: min(practice.few(count, 25), len(families) // 2)]
    by_phone = families[len(by_mail) :][: practice.few(count, 20)]
    for column, kind, chosen in (("EMail", "shared_email", by_mail), ("HmPhone", "shared_home_phone", by_phone)):
        for household in chosen:
            parent, number = household[0], practice.next_phone()
            person = f"{mail_name(parent['FName'])}.{mail_name(parent['LName'])}{parent['PatNum']}"
            shared = f"{person}@{MAIL_DOMAINS[number % len(MAIL_DOMAINS)]}" if column == "EMail" else phone(number)
            for row in household:
                row[column] = shared
            log.mark(kind, "Patients", parent["PatNum"], [row["PatNum"] for row in household])
    singles = Pool(dice, [household[0] for household in households if len(household) == 1])
    kept: set[str] = {row["PatNum"] for household in (*by_mail, *by_phone) for row in household}
    for _ in range(practice.few(count, 5)):
        elder, younger = singles.take(2)
        _make_twins(practice, dice, elder, younger)
        kept |= {elder["PatNum"], younger["PatNum"]}
    for place in range(practice.few(count, 12)):
        original, copy = sorted(singles.take(2), key=lambda row: int(row["PatNum"]))
        _make_duplicate(practice, original, copy, place)
        kept |= {original["PatNum"], copy["PatNum"]}
    return kept


def _make_twins(practice: Practice, dice: Dice, elder: Row, younger: Row) -> None:
    born = _birth_date(practice, dice, elder["LName"], child=True).isoformat()
    gender = dice.one("FM")
    names = [name for name in FIRST_NAMES[gender] if name[0] != elder["FName"][0]]
    home = {column: elder[column] for column in ("LName", "Addr1", "Addr2", "City", "State", "Zip")}
    elder["Birthdate"] = born
    younger |= home | {"FName": dice.one(names), "Birthdate": born, "GuarantorNum": elder["PatNum"], "Gender": gender}
    for row in (elder, younger):
        row |= dict.fromkeys(("EMail", "SSN", "Salutation", "Preferred", "ConsentDate"), "") | {"MarketingConsent": "N"}
        row["DateCreated"] = max(row["DateCreated"], "2024-02-05 09:10:11")
        row["DateModified"] = max(row["DateModified"], row["DateCreated"])
    practice.log.mark("twins", "Patients", elder["PatNum"], [younger["PatNum"]])


def _make_duplicate(practice: Practice, original: Row, copy: Row, place: int) -> None:
    own = {column: copy[column] for column in ("PatNum", "ChartNo", "GuarantorNum", "DateCreated", "DateModified")}
    own["PatStatus"], own["DoNotContact"] = copy["PatStatus"], copy["DoNotContact"]
    copy |= original | own | {"EMail": "", "HmPhone": "", "WkPhone": ""}
    first, last = original["FName"], original["LName"]
    variants: tuple[Row, ...] = (
        {"LName": last.upper()},
        {"FName": f"{first} {original['MiddleI'] or 'J'}."},
        {"FName": first[:-1]},
        {"LName": f"{last} ", "Addr1": original["Addr1"].replace(" Street", " St").replace(" Avenue", " Ave")},
    )
    copy |= variants[place % len(variants)]
    practice.log.mark("duplicate_patients", "Patients", copy["PatNum"], [original["PatNum"]])


def _spoil_birth_dates(practice: Practice, pool: Pool) -> None:
    count = practice.patients
    for kind, per_mille, values in (
        ("birthdate_missing", 15, ("",)),
        ("birthdate_impossible", 9, _IMPOSSIBLE_DATES),
        ("birthdate_1900", 8, ("1900-01-01",)),
        ("birthdate_future", 5, ("2061-07-14", "2068-03-02", "2063-11-30")),
    ):
        for place, row in enumerate(pool.take(practice.few(count, per_mille))):
            row["Birthdate"] = values[place % len(values)]
            practice.log.mark(kind, "Patients", row["PatNum"])


def _spoil_names(practice: Practice, pool: Pool) -> None:
    """Give odd names; no row keeps a last name and birth date that somebody else has."""
    log = practice.log
    for place, row in enumerate(pool.take(practice.few(practice.patients, 12))):
        row["LName"] = ("O'Brien", "D'Angelo", "O'Sullivan", "N'Diaye")[place % 4]
        _make_birth_date_own(practice, row)
        log.mark("name_apostrophe", "Patients", row["PatNum"])
    for row in pool.take(1):
        row["Preferred"] = "Sunny 😀"
        log.mark("name_emoji", "Patients", row["PatNum"])
    for row in pool.take(1):
        row["LName"] = "<script>alert('x')</script>"
        log.mark("name_markup", "Patients", row["PatNum"])
    for row in pool.take(1):
        row["FName"] = "=cmd|' /C calc'!A0"
        log.mark("name_formula", "Patients", row["PatNum"])
    for row in pool.take(max(2, practice.few(practice.patients, 4))):
        row |= {"LName": "Test", "FName": "Zz"}
        _make_birth_date_own(practice, row)
        log.mark("test_patients", "Patients", row["PatNum"])


def _make_birth_date_own(practice: Practice, row: Row) -> None:
    born = row["Birthdate"]
    if born == "1900-01-01":
        return  # says unknown: two of them are no twins
    while len(born) == 10 and (row["LName"].casefold(), born) in practice.names_taken and born < "2024":
        try:
            born = (date.fromisoformat(born) - timedelta(days=1)).isoformat()
        except ValueError:
            return  # an impossible or missing date can't make twins
    practice.names_taken.add((row["LName"].casefold(), born))
    row["Birthdate"] = born


def _spoil_phones(practice: Practice, pool: Pool) -> None:
    for kind, spelling in PHONE_SPELLINGS.items():
        for row in pool.take(practice.few(practice.patients, 9)):
            row["WirelessPhone"] = phone(practice.next_phone(), spelling)
            practice.log.mark(kind, "Patients", row["PatNum"])


def _spoil_codes(practice: Practice, dice: Dice, rows: list[Row]) -> None:
    log, few = practice.log, practice.few
    for place, row in enumerate(Pool(dice, rows).take(few(len(rows), 6))):
        row["Gender"] = _UNKNOWN_GENDERS[place % len(_UNKNOWN_GENDERS)]
        log.mark("unknown_gender", "Patients", row["PatNum"])
    for place, row in enumerate(Pool(dice, rows).take(few(len(rows), 8))):
        row["EMail"] = _INVALID_EMAILS[place % len(_INVALID_EMAILS)]
        log.mark("email_invalid", "Patients", row["PatNum"])
    for place, row in enumerate(Pool(dice, rows).take(few(len(rows), 5))):
        row["CarrierNum"] = str(990_001 + place)
        log.mark("orphan_patients_carrier", "Patients", row["PatNum"])
