"""Tables for looking up: many means, of which no verdict is taken, and what reviewers ask.

checklist    What a reviewer asks, with the answers that the study's own record gives.
evaluated    What was scored after the study: on other data or sizes, and masks from elsewhere.
mean_scores  A mean over seeds for each arm, by one protocol of one metric, and the table of many.
protocols    Every protocol in which the arms were tested.
"""
