"""The same arms on several data sets: what holds for data sets like these.

pooled  Differences of several data sets as one, with how much they vary from set to set.
ranks   Average ranks over data sets, and how far apart they must be.
same    Whether studies have the same arms, and their differences by data set.
"""
