"""What may be concluded from a study, and what speaks against it: values, computed without plotly.

across/         The same arms on several data sets: what holds for data sets like these.
answer          The study's answer in a few sentences.
checklist/      What a reviewer asks of a study, answered from what is on record.
costs/          What arms cost, and whether one is no worse than another and cheaper.
crossed/        What seeds and patients together say of a difference.
differences/    Differences between arms: estimated, tested, and said in words.
estimate        A mean with its interval.
failures/       Trainings, patients and images that are unlike the rest.
finalists       A search's finalists as the arms of a study.
objections/     What speaks against a conclusion.
overview        Every arm in a line: its difference, the verdict, and what it costs.
patients        Scores by test patient: patients resampled, left out one at a time, and weighted.
power/          Power: the seeds and patients that a verdict takes.
resampled       Probability of improvement, performance profiles and ranks, with seeds and patients
                drawn again.
search_results  A search's trials: what was drawn, what it scored, and the Pareto front.
sequential/     Verdicts that are looked at several times, as seeds are added.
stats           Intervals and tests on one number per seed or per patient.
summary         What each arm scores on the test split, over seeds and over patients.

Of the rest of the report it imports `page.text` alone, for numbers in sentences.
"""
