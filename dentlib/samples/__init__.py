"""Exports of invented practices, believable and with known trouble, for demonstrations, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dentlib.errors import UsageError
from dentlib.samples.dent_o_soft import SamplesWritten, write_dent_o_soft
from dentlib.samples.practice import REFERENCE_DATE

__all__ = ["PRODUCTS", "REFERENCE_DATE", "SamplesWritten", "write_samples"]

PRODUCTS = ("dent-o-soft",)


def write_samples(
    product: str, out: Path, patients: int, seed: int, round: int = 1, only: Sequence[str] | None = None
) -> SamplesWritten:
    """Write an invented practice's export into the folder `out`.

    The same arguments make the same bytes on every machine; an earlier export in `out` is replaced, any other content
    refused. Beside the files stand KNOWN-TROUBLE.md and known-trouble.json with the exact count of each deliberate
    trouble. `round` 2 and up are later exports of the same practice; their lists tell what was created, changed and
    deleted since the round before. `only` names tables (such as Patients, Appointments) to write, with the same
    content as in a full export.
    Raises UsageError for an unknown product or table, a number of patients out of range, or a folder in use.
    """
    if product not in PRODUCTS:
        raise UsageError(f"no samples for the product {product!r}", f"there are samples for: {', '.join(PRODUCTS)}")
    return write_dent_o_soft(out, patients, seed, round, only)
