"""Participants that share passes: each gets what it gets alone, and all together take no more passes than one."""



