"""Values that several people share: addresses that must be unique, telephone numbers of a household.

Nobody is merged for it. Who keeps a value and who has it as a further one is written down person by person in
`prepared.shared`: step, field, household (the source id of the first who has the value), source_key, source_id, keeps,
people; never the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb

from dentlib.facts import HouseholdFacts
from dentlib.mapping.map import Map
from dentlib.mapping.payload import record_digest_sql
from dentlib.model import PREPARED_PROBLEMS
from dentlib.pairs import Step
from dentlib.workdb import literal, quoted

SHARED = "prepared.shared"
SHARED_COLUMNS = ("step", "field", "household", "source_id", "record_id", "keeps", "people")
"""Columns of the list of people who share a value."""


def make_table(con: duckdb.DuckDBPyConnection) -> None:
    """Make the empty table."""
    con.execute(
        f"CREATE TABLE {SHARED} (step VARCHAR, field VARCHAR, household VARCHAR, source_key VARCHAR, "
        "source_id VARCHAR, keeps BOOLEAN, people BIGINT)"
    )


def household_facts(con: duckdb.DuckDBPyConnection, map: Map) -> tuple[HouseholdFacts, ...]:
    """Return what the rules for shared values do, per step and field. Reads the last preparation."""
    found = []
    for step in map.active_steps:
        for path, rule in map.fields_of(step).items():
            if rule.shared:
                row = con.execute(
                    f"SELECT count(DISTINCT household), count(DISTINCT source_key), count(*) FILTER (keeps), "
                    f"count(*) FILTER (NOT keeps), coalesce(max(people), 0) FROM {SHARED} WHERE step = ? AND field = ?",
                    [step.step, path],
                ).fetchone()
                found.append(HouseholdFacts(step.step, step.label, path, rule.shared, *(row or (0, 0, 0, 0, 0))))
    return tuple(found)


def household_rows(con: duckdb.DuckDBPyConnection, map: Map) -> Iterator[tuple[Any, ...]]:
    """Yield who shares a value with whom, person by person, in the order of `SHARED_COLUMNS`: ids, no values."""
    for step in map.active_steps:
        if any(rule.shared for rule in map.fields_of(step).values()):
            cursor = con.cursor().execute(
                f"SELECT s.step, s.field, s.household, s.source_id, r.record_id::VARCHAR, s.keeps, s.people "
                f"FROM {SHARED} AS s JOIN prepared_rows.{quoted(step.step)} AS r USING (source_key) "
                f"WHERE s.step = ? ORDER BY s.field, s.household, NOT s.keeps, s.source_id",
                [step.step],
            )
            while some := cursor.fetchmany(1_000):
                yield from some


class Sharing:
    """The shared values of one step. `record_id`: SQL for a row's record id over its `_digest`."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, step: Step, engagement: str, record_id: str, *, has_matches: bool
    ) -> None:
        self._con, self._step, self._engagement = con, step, engagement
        self._record_id, self._has_matches = record_id, has_matches

    def _note(self, path: str, people: str) -> None:
        """Write down who shares a value: the first who keeps it names the household, else who holds it elsewhere.

        `people`: SQL with _id, _key, value, keeps, holder.
        """
        prefix = literal(self._step.prefix + ":")
        first = f"first_value(CASE WHEN keeps THEN {prefix} || _key ELSE holder END) OVER turns"
        counted = f"SELECT *, count(*) OVER (PARTITION BY value) AS people FROM ({people})"
        self._con.execute(
            f"INSERT INTO {SHARED} SELECT {literal(self._step.step)}, {literal(path)}, {first}, _key, "
            f"{prefix} || _key, keeps, people FROM ({counted}) WHERE people > 1 OR NOT keeps "
            "WINDOW turns AS (PARTITION BY value ORDER BY NOT keeps, _id) ORDER BY _id"
        )

    def note_numbers(self, table: str, path: str) -> None:
        """Write down who shares a number that all keep, from the step's finished table."""
        column = f"t.{quoted(path)}"
        first = f"{column}.primaryPhoneCallingCode || ' ' || {column}.primaryPhoneNumber"
        rest = f"list_transform({column}.additionalPhones, lambda x: x.callingCode || ' ' || x.number)"
        values = f"unnest(list_distinct(list_prepend({first}, {rest}))) AS value"
        self._note(
            path,
            f"SELECT ordinal AS _id, source_key AS _key, {values}, true AS keeps, NULL AS holder FROM {table} AS t "
            f"WHERE {column} IS NOT NULL",
        )

    def first_keeps_number(self, rows: str, path: str) -> str:
        """Give a number to the first who has it; the others have it as a further one.

        A number of one's own comes first; where all are others', no number is the primary one.
        """
        value = quoted("v_" + path)
        number = "x.calling || ' ' || x.number"
        values = f"unnest(list_distinct(list_transform({value}, lambda x: {number}))) AS value"
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE shared_numbers AS WITH every AS (SELECT _id, _key, {values} FROM ({rows})) "
            f"SELECT *, row_number() OVER (PARTITION BY value ORDER BY _id) = 1 AS keeps FROM every "
            f"SEMI JOIN (SELECT value FROM every GROUP BY 1 HAVING count(*) > 1) USING (value)"
        )
        self._note(path, "SELECT *, NULL AS holder FROM temp.shared_numbers")
        own = f"list_filter(r.{value}, lambda x: NOT list_contains(n.theirs, {number}))"
        rest = f"list_filter(r.{value}, lambda x: list_contains(n.theirs, {number}))"
        ordered = f"CASE WHEN len({own}) > 0 THEN list_concat({own}, {rest}) ELSE list_concat([NULL], {rest}) END"
        return (
            f"SELECT r.* REPLACE (CASE WHEN n._id IS NULL THEN r.{value} ELSE {ordered} END AS {value}) "
            f"FROM ({rows}) AS r LEFT JOIN (SELECT _id, list(value) AS theirs FROM temp.shared_numbers WHERE NOT keeps "
            f"GROUP BY _id) AS n ON n._id = r._id"
        )

    def first_keeps_it(self, rows: str, path: str) -> str:
        """Give a value that must be unique to the row that holds it already, else to the first that has it.

        The others keep it as a further value. A value that a record of an earlier round holds, while no row of this
        one does, stays taken: its holder gives it up first, or a person decides about a record whose row is gone.
        """
        value, mine = quoted("v_" + path), f"object = {literal(self._step.to)} AND path = {literal(path)}"
        own_key = literal(self._step.prefix + ":") + " || _key"
        digest = record_digest_sql(self._engagement, self._step.step, "_key")
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE candidates AS "
            f"SELECT _id, _key, _file, _row, {value} AS v{', matched_id' if self._has_matches else ''} "
            f"FROM ({rows}) WHERE {value} IS NOT NULL"
        )
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE not_first AS WITH "
            f"mine AS (SELECT value, any_value(holder) AS holder FROM temp.taken WHERE {mine} GROUP BY value), "
            f"held AS (SELECT value, record_id FROM temp.held WHERE {mine}), "
            f"repeated AS (SELECT v FROM temp.candidates GROUP BY v HAVING count(*) > 1 UNION SELECT value FROM mine "
            f"UNION SELECT value FROM held), "
            f"c AS (SELECT *, {digest} AS _digest FROM temp.candidates SEMI JOIN repeated USING (v)), "
            f"asked AS (SELECT c.* EXCLUDE (_digest), mine.holder AS taken_by, held.record_id AS held_by, "
            f"coalesce(held.record_id = {self._record_id}::VARCHAR, false) AS holds FROM c "
            f"LEFT JOIN mine ON mine.value = c.v LEFT JOIN held ON held.value = c.v), "
            f"judged AS (SELECT *, row_number() OVER turns AS turn, first_value({own_key}) OVER turns AS first_key, "
            f"held_by IS NOT NULL AND NOT bool_or(holds) OVER (PARTITION BY v) AS not_free FROM asked "
            f"WINDOW turns AS (PARTITION BY v ORDER BY holds DESC, _id)) "
            f"SELECT *, CASE WHEN taken_by IS NOT NULL THEN taken_by "
            f"WHEN not_free THEN 'a record of an earlier round' ELSE first_key END AS holder FROM judged "
            f"WHERE turn > 1 OR taken_by IS NOT NULL OR not_free"
        )
        self._con.execute(
            f"INSERT INTO temp.taken SELECT {literal(self._step.to)}, {literal(path)}, v, {own_key} "
            f"FROM temp.candidates ANTI JOIN not_first USING (_id)"
        )
        self._con.execute(
            f"INSERT INTO {PREPARED_PROBLEMS} SELECT {literal(self._step.step)}, _key, {literal(path)}, "
            f"'shared_value', (SELECT text FROM temp.reasons WHERE code = 'shared_value'), _file, _row, 1, "
            f"'kept by ' || holder FROM not_first ORDER BY _id"
        )
        self._note(
            path,
            "SELECT c._id, c._key, c.v AS value, n._id IS NULL AS keeps, n.holder FROM temp.candidates AS c "
            "LEFT JOIN not_first AS n USING (_id)",
        )
        return (
            f"SELECT r.* REPLACE (CASE WHEN n._id IS NULL THEN r.{value} END AS {value}), "
            f"CASE WHEN n._id IS NOT NULL THEN r.{value} END AS {quoted('o_' + path)} "
            f"FROM ({rows}) AS r LEFT JOIN not_first AS n ON n._id = r._id"
        )
