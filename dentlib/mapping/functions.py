"""Value functions as SQL: the regular shapes in bulk; the odd ones go, once per distinct text, to `values`.

A function's `fast` expression gives NULL for every text that is not of a shape it is sure about. Those texts are
collected, read in Python and joined back. `tests/mapping/test_functions.py` holds both sides to the same answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import time
from functools import lru_cache
from typing import Any

import duckdb
import orjson
import phonenumbers
import pyarrow as pa

from dentlib.mapping import values
from dentlib.mapping.values import ValueContext
from dentlib.workdb import literal

BLANKS = literal(" \t\r\n\f\v\u00a0\u2007\u202f\ufeff")
"""What counts as blank around a text; the same characters as in `values`."""


def _begins_plainly(text: str) -> str:
    """Return SQL: is the first character a visible ASCII one? Comparing texts is five times as fast as cutting one."""
    return f"{text} >= '!' AND {text} < chr(127)"


def trimmed(text: str) -> str:
    """Return SQL that cuts blanks around a text (a column or short expression); plain ASCII edges are left at once."""
    edges = f"{_begins_plainly(text)} AND {text}[-1] BETWEEN '!' AND '~'"
    return f"CASE WHEN {edges} THEN {text} ELSE nullif(trim({text}, {BLANKS}), '') END"


def unless_blank(text: str) -> str:
    """Return SQL for the text exactly as it is, NULL where there is nothing but blanks."""
    return f"CASE WHEN {_begins_plainly(text)} THEN {text} WHEN trim({text}, {BLANKS}) <> '' THEN {text} END"


def local_to_utc(local: str, time_zone: str) -> str:
    """Return SQL that reads a timestamp as the practice's local time and gives it in UTC, without a second look-up."""
    return f"make_timestamp(epoch_us(timezone({literal(time_zone)}, {local})))"


PHONE_TYPE = "STRUCT(number VARCHAR, country VARCHAR, calling VARCHAR)[]"


def _never(text: str, context: ValueContext, at: str) -> str:
    return "NULL"


@dataclass(frozen=True, slots=True)
class ValueFunction:
    """One value function. `fallible`: a rule that uses it must say what happens to an invalid value.

    `total`: the SQL alone is enough for every text; `code` is then SQL for what is to be told about a text.
    `fast(text, context, at)`: SQL of type `sql_type`, NULL where unsure. `slow(text, context, at)`: (value as JSON-able
    or text for a cast, code). `bulk`: fills the table of read texts for shapes that need a little Python first.
    """

    name: str
    sql_type: str
    kind: str
    fallible: bool
    fast: Callable[[str, ValueContext, str], str]
    slow: Callable[[str, ValueContext, str], tuple[Any, str]]
    bulk: Callable[[duckdb.DuckDBPyConnection, str, str, ValueContext], None] | None = None
    total: bool = False
    code: Callable[[str], str] | None = None

    @property
    def always_odd(self) -> bool:
        """Whether SQL is never sure, so that every distinct text is read."""
        return self.fast is _never


def _without_nul(text: str) -> str:
    return f"CASE WHEN contains({text}, chr(0)) THEN replace({text}, chr(0), '') ELSE {text} END"


def _fast_trim(text: str, context: ValueContext, at: str) -> str:
    cleaned = f"nullif(trim(replace({text}, chr(0), ''), {BLANKS}), '')"
    edges = f"{_begins_plainly(text)} AND {text}[-1] BETWEEN '!' AND '~'"
    return f"CASE WHEN {edges} AND NOT contains({text}, chr(0)) THEN {text} ELSE {cleaned} END"


def _fast_exact(text: str, context: ValueContext, at: str) -> str:
    return f"CASE WHEN strlen({text}) <= {values.LONGEST_TEXT_BYTES} THEN {_without_nul(text)} END"


def _exact_code(text: str) -> str:
    return (
        f"CASE WHEN strlen({text}) > {values.LONGEST_TEXT_BYTES} THEN 'text_too_long' "
        f"WHEN contains({text}, chr(0)) THEN 'nul_removed' END"
    )


def _fast_email(text: str, context: ValueContext, at: str) -> str:
    shape = literal(f"(?i){values.EMAIL.pattern}")
    return f"CASE WHEN regexp_full_match({text}, {shape}) AND strlen({text}) <= 254 THEN lower({text}) END"


_YEAR = "(18|19|20|21)\\d\\d"
_ISO_DAY = f"{_YEAR}-\\d\\d-\\d\\d"
_ISO_TIME = "[ T]\\d\\d:\\d\\d(:\\d\\d)?"
_SLASHED = f"\\d{{1,2}}/\\d{{1,2}}/{_YEAR}"
_ORDERS = {"mdy": "%m/%d/%Y", "dmy": "%d/%m/%Y"}


def _fast_date(text: str, context: ValueContext, at: str) -> str:
    """Strict shapes only; impossible days give NULL and are told apart in Python."""
    cases = [f"WHEN regexp_full_match({text}, '{_ISO_DAY}') THEN TRY_CAST({text} AS DATE)"]
    order = _ORDERS.get(context.date_order)
    if order:
        cases.append(f"WHEN regexp_full_match({text}, '{_SLASHED}') THEN try_strptime({text}, '{order}')::DATE")
    cases.append(f"WHEN regexp_full_match({text}, '{_ISO_DAY}{_ISO_TIME}') THEN TRY_CAST({text} AS TIMESTAMP)::DATE")
    instant = f"timezone('UTC', TRY_CAST(rtrim({text}, 'Z') AS TIMESTAMP))"
    local = f"timezone({literal(context.time_zone)}, {instant})::DATE"
    cases.append(f"WHEN regexp_full_match({text}, '{_ISO_DAY}T\\d\\d:\\d\\d:\\d\\dZ') THEN {local}")
    return f"CASE {' '.join(cases)} END"


def _fast_birth_date(text: str, context: ValueContext, at: str) -> str:
    read = _fast_date(text, context, at)
    run = literal(context.run_date.isoformat())
    return f"CASE WHEN {read} BETWEEN DATE '1890-01-01' AND DATE {run} THEN nullif({read}, DATE '1900-01-01') END"


def _to_utc(local: str, context: ValueContext) -> str:
    return local_to_utc(local, context.time_zone)


def _fast_datetime(text: str, context: ValueContext, at: str) -> str:
    iso = f"{_ISO_DAY}{_ISO_TIME}"
    cases = [
        f"WHEN regexp_full_match({text}, '{iso}') THEN {_to_utc(f'TRY_CAST({text} AS TIMESTAMP)', context)}",
        f"WHEN regexp_full_match({text}, '{iso}Z') THEN TRY_CAST(rtrim({text}, 'Z') AS TIMESTAMP)",
    ]
    order = _ORDERS.get(context.date_order)
    if order:
        half = _to_utc(f"try_strptime({text}, '{order} %I:%M %p')", context)
        cases.insert(0, f"WHEN regexp_full_match({text}, '{_SLASHED} \\d{{1,2}}:\\d\\d [AP]M') THEN {half}")
    alone = _to_utc(f"({_fast_date(text, context, at)}) + TIME {literal(at or '00:00')}", context)
    return f"CASE {' '.join(cases)} WHEN NOT contains({text}, ':') THEN {alone} END"


def _fast_money(text: str, context: ValueContext, at: str) -> str:
    shape = "[+-]?\\d{1,9}(\\.\\d{1,6})?" if context.decimal == "." else "[+-]?\\d{1,9}"
    return f"CASE WHEN regexp_full_match({text}, '{shape}') THEN CAST({text} AS DECIMAL(38,6)) END"


def _fast_integer(text: str, context: ValueContext, at: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, '[+-]?\\d{{1,15}}') THEN CAST({text} AS BIGINT) END"


def _fast_boolean(text: str, context: ValueContext, at: str) -> str:
    folded = f"lower({text})"
    return (
        f"CASE WHEN {folded} IN ('y','yes','true','1') THEN true WHEN {folded} IN ('n','no','false','0') THEN false END"
    )


def blocknote_sql(text: str) -> str:
    """Return SQL for `values.blocknote`: the text as JSON of one paragraph per line."""
    empty = '\'{"type":"paragraph","content":[]}\''
    line = '\'{"type":"paragraph","content":[{"type":"text","text":\' || to_json(line)::VARCHAR || \',"styles":{}}]}\''
    lines = f"regexp_split_to_array({text}, '\\r\\n|\\r|\\n')"
    paragraphs = f"list_transform({lines}, lambda line: CASE WHEN line = '' THEN {empty} ELSE {line} END)"
    return f"'[' || array_to_string({paragraphs}, ',') || ']'"


def _bulk_phones(con: duckdb.DuckDBPyConnection, texts: str, target: str, context: ValueContext) -> None:
    """Read plain North American numbers in SQL: libphonenumber is asked once per area code and exchange.

    A prefix counts only where its first and last number agree on the country and both are valid.
    """
    if phonenumbers.country_code_for_region(context.phone_country) != 1:
        return
    shape = "(\\+?1[ .-]?)?(\\([2-9]\\d\\d\\)|[2-9]\\d\\d)[ .-]?[2-9]\\d\\d[ .-]?\\d{4}"
    digits = "right(regexp_replace(text, '\\D', '', 'g'), 10)"
    plain = f"SELECT text, {digits} AS d FROM {texts} WHERE regexp_full_match(text, '{shape}')"
    prefixes = [r[0] for r in con.execute(f"SELECT DISTINCT left(d, 6) FROM ({plain})").fetchall()]
    regions = [(p, region) for p in prefixes if (region := _region_of_prefix(p))]
    con.register("nanp", pa.table({"prefix": [p for p, _ in regions], "region": [r for _, r in regions]}))
    con.execute(
        f"INSERT INTO {target} SELECT text, [{{'number': d, 'country': region, 'calling': '+1'}}], NULL "
        f"FROM ({plain}) JOIN nanp ON prefix = left(d, 6)"
    )
    con.unregister("nanp")


@lru_cache(maxsize=100_000)
def _region_of_prefix(prefix: str) -> str:
    found = set()
    for end in ("0000", "9999"):
        number = phonenumbers.PhoneNumber(country_code=1, national_number=int(prefix + end))
        found.add(phonenumbers.region_code_for_number(number) if phonenumbers.is_valid_number(number) else "")
    return found.pop() or "" if len(found) == 1 else ""


def _slow_phone(text: str, context: ValueContext, at: str) -> tuple[Any, str]:
    found, code = values.phones(text, context.phone_country)
    return [{"number": p.number, "country": p.country, "calling": p.calling} for p in found] or None, code


def _slow_datetime(text: str, context: ValueContext, at: str) -> tuple[Any, str]:
    moment, code = values.point_in_time(text, context, time.fromisoformat(at) if at else time())
    return (moment.replace(tzinfo=None).isoformat(sep=" ") if moment else None), code


def _slow_date(text: str, context: ValueContext, at: str) -> tuple[Any, str]:
    day, code = values.local_date(text, context)
    return (day.isoformat() if day else None), code


def _slow_birth_date(text: str, context: ValueContext, at: str) -> tuple[Any, str]:
    day, code = values.birth_date(text, context)
    return (day.isoformat() if day else None), code


def _slow_money(text: str, context: ValueContext, at: str) -> tuple[Any, str]:
    amount, code = values.money(text, context.decimal)
    return (str(amount) if amount is not None else None), code


def _slow_teeth(text: str, context: ValueContext, at: str) -> tuple[Any, str]:
    found, code = values.teeth(text)
    return list(found) or None, code


def _plain(function: Callable[[str], tuple[Any, str]]) -> Callable[[str, ValueContext, str], tuple[Any, str]]:
    return lambda text, context, at: function(text)


FUNCTIONS: dict[str, ValueFunction] = {
    f.name: f
    for f in (
        ValueFunction("trim", "VARCHAR", "text", False, _fast_trim, _plain(values.trim), total=True),
        ValueFunction(
            "exact", "VARCHAR", "text", False, _fast_exact, _plain(values.exact), total=True, code=_exact_code
        ),
        ValueFunction("email", "VARCHAR", "email", True, _fast_email, _plain(values.email)),
        ValueFunction("phone", PHONE_TYPE, "phones", True, _never, _slow_phone, _bulk_phones),
        ValueFunction("date", "DATE", "date", True, _fast_date, _slow_date),
        ValueFunction("birth_date", "DATE", "date", True, _fast_birth_date, _slow_birth_date),
        ValueFunction("datetime", "TIMESTAMP", "datetime", True, _fast_datetime, _slow_datetime),
        ValueFunction("money", "DECIMAL(38,6)", "money", True, _fast_money, _slow_money),
        ValueFunction("integer", "BIGINT", "integer", True, _fast_integer, _plain(values.integer)),
        ValueFunction("boolean", "BOOLEAN", "boolean", True, _fast_boolean, _plain(values.boolean)),
        ValueFunction("surfaces", "VARCHAR", "text", True, _never, _plain(values.surfaces)),
        ValueFunction("teeth", "VARCHAR[]", "list", True, _never, _slow_teeth),
        ValueFunction(
            "blocknote", "VARCHAR", "blocknote", True, _fast_exact, _plain(values.exact), total=True, code=_exact_code
        ),
        ValueFunction("link", "VARCHAR", "link", True, _never, _plain(values.link)),
        ValueFunction("file_label", "VARCHAR", "text", True, _never, _plain(values.file_label)),
        ValueFunction("file_category", "VARCHAR", "text", True, _never, _plain(values.file_category)),
    )
}

OF_TYPE = {
    "key": "trim",
    "text": "trim",
    "name": "trim",
    "code": "trim",
    "choice": "trim",
    "path": "trim",
    "free_text": "exact",
    "date": "date",
    "datetime": "datetime",
    "money": "money",
    "integer": "integer",
    "boolean": "boolean",
    "phone": "phone",
    "email": "email",
}
"""The value function of a logical field's type, used where a rule names none."""


def read_odd_texts(
    con: duckdb.DuckDBPyConnection, function: ValueFunction, texts: str, context: ValueContext, at: str
) -> str:
    """Read the distinct texts of a relation (one column `text`) that the fast expression left; return their table.

    The table `odd_…` has columns text, value, code. Idempotent: it is made anew.
    """
    name = "odd_" + hashlib.sha1(f"{function.name}|{texts}|{context}|{at}".encode()).hexdigest()[:16]
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} (text VARCHAR, value {function.sql_type}, code VARCHAR)")
    if function.bulk is not None:
        function.bulk(con, texts, name, context)
        texts = f"(SELECT text FROM {texts} ANTI JOIN {name} USING (text))"
    left = con.execute(f"SELECT DISTINCT text FROM {texts}").fetchall()
    _insert(con, name, function, ((t, *function.slow(t, context, at)) for (t,) in left))
    return name


def _insert(
    con: duckdb.DuckDBPyConnection, name: str, function: ValueFunction, rows: Iterable[tuple[str, Any, str]]
) -> None:
    texts, found, codes = [], [], []
    nested = function.sql_type.endswith("[]")
    for text, value, code in rows:
        texts.append(text)
        found.append(None if value is None else orjson.dumps(value).decode() if nested else str(value))
        codes.append(code or None)
    if not texts:
        return
    columns = {"text": pa.array(texts, pa.string()), "v": pa.array(found, pa.string())}
    con.register("odd_rows", pa.table({**columns, "code": pa.array(codes, pa.string())}))
    cast = f"(v::JSON)::{function.sql_type}" if nested else f"v::{function.sql_type}"
    con.execute(f"INSERT INTO {name} SELECT text, {cast}, code FROM odd_rows")
    con.unregister("odd_rows")
