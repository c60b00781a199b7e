"""What a reviewer asks of a study, answered from what is on record.

all_items     The items in their order.
data          Questions about the data: which, how many, how divided, how often each class occurs.
empty_masks   How masks that are empty count in the scores of a study.
item          One question with its answer, and what answers are drawn from.
record        What is on record of how a study ran, as words: trials, images, code, versions.
reproducing   Questions about code, software, machines and what others can have.
scoring       Questions about metrics, uncertainty, failures and limits.
training      Questions about networks, training, selection and the use of the test split.
"""
