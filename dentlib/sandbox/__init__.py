"""Destinations on this machine, true to recorded contracts: for demos, rehearsals and tests."""
