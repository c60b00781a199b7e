"""Differences to the baseline: forest plots with their intervals, the table, the conclusions.

across     The section about the same arms on several data sets.
forest     Forest plots: what is shown of each difference, and the figure.
joint      The part that says which arms are no worse than a reference and cheaper at once.
looks      The part that says which arms got more seeds, and why the others stopped.
paper      The table of differences as a paper prints it: four columns, for LaTeX.
part       The parts of a report: differences on test, of other pairs, on images of another source.
resampled  How often an arm is better, on how many images, and how steady its rank is.
table      The table of differences: intervals, tests and verdicts; effect sizes in its file.
"""
