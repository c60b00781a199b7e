"""The parts of the page. Each file holds a part's values, its figure, its table and its caption.

budget            What each arm was given: its budget, and its tuning trials.
classes           The scores of each class, per arm.
cost              What arms cost: time per step, refreshes of the basis, parameters and memory.
differences/      Differences to the baseline: forest plots, the table, the conclusions.
domains           Scores on another domain, and on masks of another size.
factors           What differs between the arms: the table of their settings.
head/             Every arm in a line, what ran, and what must be known before any number.
lookup/           Tables for looking up: every protocol, what was evaluated afterwards, and the
                  reviewer's checklist.
notes             How to read a section: where each number comes from, and how sure it is.
overlays          Pictures of predictions and errors, composed from images and coloured labels.
per_image         Scores of single test images: how they spread, and each arm against the baseline.
pictures          Best, median and worst test images with what was predicted, and the errors.
reported          Numbers that papers report: shown, and in no statistic.
scores            Scores on the test split, per arm.
searches/         The parts of a search's section.
tradeoff          Score against cost: a point per arm or trial, and the Pareto front.
training          Learning curves against steps, seconds and images, and the training loss.
unfinished        Trials that did not finish: which they are, and what is known of the reason.
validity          Threats to validity: what would change the conclusion.

The functions that compute values need no plotly; those named `..._part` return a part of the page,
or None where the page shows nothing of it.
"""
