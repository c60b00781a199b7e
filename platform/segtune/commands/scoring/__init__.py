"""`segtune evaluate`: a trained network, or masks from elsewhere, scored on any data set.

evaluate The command.
kept     What an evaluation is of, and its scores put into the tables of a study.
options  What `evaluate` was asked to score: read from its options, and checked.
score    Checkpoints, and masks from elsewhere, scored one after another.
shown    The scores of an evaluation on the terminal: as tables, or as JSON.
"""
