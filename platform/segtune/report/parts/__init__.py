"""The parts of the page. Each file holds a part's values, its figure, its table and its caption.

budget            What each arm was given: its budget, and its tuning trials.
classes           The scores of each class, per arm.
cost              What arms cost: time per step, refreshes of the basis, parameters and memory.
differences       Differences to the baseline: forest plots, the table, the conclusions.
domains           Scores on another domain, and on masks of another size.
factors           What differs between the arms: the table of their settings.
head              What ran, and what a reader must know before any number.
importance        How much each searched setting matters for each objective.
notes             How to read a section: where each number comes from, and how sure it is.
overlays          Pictures of predictions and errors, composed from images and coloured labels.
per_image         Scores of single test images: how they spread, and each arm against the baseline.
pictures          Best, median and worst test images with what was predicted, and the errors.
rank_by_interval  Mean score by rank and refresh interval, where both were varied.
reported          Numbers that papers report: shown, and in no statistic.
scores            Scores on the test split, per arm.
search            The best trials of a search on val: their table, and how named trials are drawn.
search_history    The course of a search: each objective by trial, and the Pareto front.
search_settings   The settings of a search: all in parallel coordinates, then one by one.
search_training   How the trials of a search trained: scores on val by epoch.
tradeoff          Score against cost: a point per arm or trial, and the Pareto front.
training          Learning curves against steps, seconds and images, and the training loss.
unfinished        Trials that did not finish: which they are, and what is known of the reason.
validity          Threats to validity: what would change the conclusion.

The functions that compute values need no plotly; those named `..._part` return a part of the page,
or None where the page shows nothing of it.
"""
