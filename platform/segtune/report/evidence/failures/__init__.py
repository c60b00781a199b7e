"""Trainings, patients and images that are unlike the rest.

outliers       Values that stand apart from the others of their group.
rare_failures  Trainings, patients and images that are unlike the rest, and those not seen.
"""
