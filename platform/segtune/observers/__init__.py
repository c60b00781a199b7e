"""Observers: they show or export the progress of a running study.

composite    Several observers of a study as one.
console      What a person sees while a study runs: a live table on a terminal, else a line per
             epoch.
links        Where a running study can be watched, and with which command.
prometheus   Each trial's latest numbers as gauges of Ray, which Prometheus scrapes from every
             node.
tensorboard  Event files for TensorBoard in `tensorboard/<trial>/` of a study's folder: one run per
             trial.
"""
