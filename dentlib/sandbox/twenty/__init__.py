"""A Twenty 2.21 on this machine, true to its recorded answers."""
