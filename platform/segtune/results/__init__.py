"""A study's results on disk: where they lie, their tables, and what is read back from them.

data_facts  `data.json`: what the data of a study hold, counted once.
evaluations  Scores of networks and masks that were evaluated afterwards: written and read.
folds       A seed's folds as one trial: means over the parts of a cross-validation.
images      Scores image by image, side by side for all trials.
integrity/  Whether what lies on a disk can be read, and is what segtune wrote.
label_noise  `label_noise.json`: how much two annotators of the test images disagree.
measures    Which number stands for a trial: one protocol and size per metric, at the best epoch
            on val.
patient_means  Test scores in which patients weigh alike, however many images each has.
provenance  Which code ran, of which commit, and which command line started it.
reported    Numbers of papers, shown next to the study's own: reported, not reproduced.
schemas     Which tables there are, and the columns of each.
spending    What a study's trials have taken, in time and in money.
status/     Where a study stands, computed from its tables and `study.json` alone.
storage     Where studies are kept: a folder of a file system, or of a store that pyarrow knows.
study_file  `study.json`: the definition of a study as it was run.
study_rows  A study's rows as the report uses them.
study_scores  What a study's tables say of its scores, derived once and handed down.
tables      The result tables: Parquet files that are read and replaced as a whole.
trial_rows  The row of a trial in `trials`: when it starts, when it ends, and how it is read.
"""

from segtune.results.tables import read

__all__ = ["read"]
