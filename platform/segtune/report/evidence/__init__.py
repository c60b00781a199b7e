"""What may be concluded from a study, and what speaks against it: values, computed without plotly.

across/         The same arms on several data sets: what holds for data sets like these.
answer          The study's answer in a few sentences.
checklist/      What a reviewer asks of a study, answered from what is on record.
compare         Every arm against the baseline, seed by seed and patient by patient.
conclusions     Differences to the baseline as sentences.
costs/          What arms cost, and whether one is no worse than another and cheaper.
crossed/        What seeds and patients together say of a difference.
estimate        A mean with its interval.
finalists       A search's finalists as the arms of a study.
margins         Against a margin: whether an arm is as good as the baseline, or no worse.
objections/     What speaks against a conclusion.
outliers        Values that stand apart from the others of their group.
overview        Every arm in a line: its difference, the verdict, and what it costs.
patients        Scores by test patient: patients resampled, left out one at a time, and weighted.
power/          Power: the seeds and patients that a verdict takes.
rare_failures   Trainings, patients and images that are unlike the rest, and those not seen.
search_results  A search's trials: what was drawn, what it scored, and the Pareto front.
sequential/     Verdicts that are looked at several times, as seeds are added.
stats           Intervals and tests on one number per seed or per patient.
summary         What each arm scores on the test split, over seeds and over patients.

Of the rest of the report it imports `page.text` alone, for numbers in sentences.
"""
