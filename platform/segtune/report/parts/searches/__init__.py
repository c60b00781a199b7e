"""The parts of a search's section; as all parts, each file holds values, figure, table and caption.

best_trials       The best trials of a search on val: their table, and how named trials are drawn.
history           The course of a search: each objective by trial, and the Pareto front.
importance        How much each searched setting matters for each objective.
rank_by_interval  Mean score by rank and refresh interval, where both were varied.
settings          The settings of a search: all in parallel coordinates, then one by one.
training          How the trials of a search trained: scores on val by epoch.
"""
