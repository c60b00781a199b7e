"""`segtune plan`: seeds and patients that a study's verdict takes, and what they cost.

asked    What `plan` was asked: read from its options, and checked.
plan     The command.
planned  The plan as values: power, seeds, patients, trials, hours and money.
shown    The plan on the terminal, or as JSON.
"""
