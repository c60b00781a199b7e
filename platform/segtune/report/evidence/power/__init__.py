"""Power: the seeds and patients that a verdict takes, for `segtune plan` and for the report.

advice  Seeds and patients that are enough, with the range that a small study leaves.
chance  How likely a study of so many seeds and patients is to show what it is asked to show.
spread  How much seeds and patients move a difference: measured by a study, and how well it is
        known.
"""
