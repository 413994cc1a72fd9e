"""Tests of the shared nouns."""

from __future__ import annotations

import duckdb

from dentlib.model import ID_NAMESPACE, record_id


def test_record_id_is_the_same_in_python_and_in_duckdb() -> None:
    """The loader (Python) and prepare (SQL) must name the same record for the same source row."""
    sql = """
        WITH h AS (SELECT substr(sha1(from_hex($ns) || encode($name)), 1, 32) AS x)
        SELECT substr(x,1,8)||'-'||substr(x,9,4)||'-5'||substr(x,14,3)||'-'||
               substr('89ab', (('0x'||substr(x,17,1))::INTEGER & 3) + 1, 1)||substr(x,18,3)||'-'||substr(x,21,12) FROM h
    """
    for engagement, step, key in (("demo", "carriers", "17"), ("Şube", "patients", "a|b'c 😀")):
        name = f"{engagement}|{step}|{key}"
        row = duckdb.execute(sql, {"ns": ID_NAMESPACE.hex, "name": name}).fetchone()
        assert row is not None
        assert row[0] == record_id(engagement, step, key)
