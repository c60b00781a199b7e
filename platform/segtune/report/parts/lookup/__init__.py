"""Tables for looking up: many means, of which no verdict is taken.

evaluated    What was scored after the study: on other data or sizes, and masks from elsewhere.
mean_scores  A mean over seeds for each arm, by one protocol of one metric, and the table of many.
protocols    Every protocol in which the arms were tested.
"""
