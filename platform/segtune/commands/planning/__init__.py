"""The work of `segtune plan`.

asked    What `plan` was asked: read from its options, and checked.
planned  The plan as values: power, seeds, patients, trials, hours and money.
shown    The plan on the terminal, or as JSON.
"""
