"""Where a study stands, computed from its tables and `study.json` alone.

A run that is killed can't record it: its trials stay `running` in the tables. Those that have
written nothing for much longer than one of their epochs takes are shown as `silent` here.

left    How long what is left of a study will take.
study   Where a study stands as a whole.
trials  How the trials of a study stand that have begun.
"""
