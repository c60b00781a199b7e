"""What watches a study run, beside the tables.

composite    Several observers of a study as one.
console      What a person sees while a study runs: a live table on a terminal, else a line per
             epoch.
links        Where a study that runs can be looked at, and how.
prometheus   Each trial's latest numbers as gauges of Ray, which Prometheus scrapes from every
             node.
tensorboard  Event files for TensorBoard, `tensorboard/<trial>/` beside a study: a run per trial.
"""
