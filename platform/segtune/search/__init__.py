"""Optuna: what a search tries next, and what became of its trials.

finalists      Which trials of a search were the best, by its tables.
results_store  The tables of a search, as its driver writes and reads them while it runs.
schedulers     Ray Tune's schedulers, told of epochs and nothing else.
searchers      Where Ray Tune takes its next trial from: a list, or Optuna.
trial_history  What became of a search's trials, read back from the tables: all that Optuna is
               told of them.
"""
