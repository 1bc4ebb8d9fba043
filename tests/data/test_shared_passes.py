"""Participants that share passes: each gets what it gets alone, and all take no more passes than one."""
