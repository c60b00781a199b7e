"""Optuna: what a search tries next, and what became of its trials.

callbacks      Callbacks that Ray Tune calls: what goes wrong in one ends nothing.
finalists      Which trials of a search were the best, by its tables.
journal        Optuna's study of a search, made from the tables, and the journal that shows it.
limited        How many trials are handed out: as there is room, while a budget lasts.
results_store  The tables of a search, as its driver writes and reads them while it runs.
schedulers     Ray Tune's schedulers, which get the results of epochs and no others.
searchers      Where Ray Tune takes its next trial from: a list, or Optuna.
trial_history  How a search's trials ended, read from the tables and translated for Optuna.
"""
