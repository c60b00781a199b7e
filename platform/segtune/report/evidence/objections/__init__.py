"""What speaks against a conclusion, from the study's own numbers.

all_caveats  All objections that apply to a study, the gravest first.
caveat       One objection to a conclusion.
conditions   Conditions that should be the same for all arms: data, weights, code and machine.
failures     Rare failures: those that were seen, and those that the seeds cannot show.
fairness     Whether arms had equal chances: what was held fixed, what varied, how each was tuned.
influence    Influential seeds, patients and images: without one of them a verdict would be another.
label_noise  Differences that are smaller than what annotators disagree by.
power        Whether there are enough seeds and patients to show a difference that matters.
tuning       The tuning trials of each arm, which ran before its seeds.
"""
