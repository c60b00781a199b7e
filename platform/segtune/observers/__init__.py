"""Observers: they show or export the progress of a running study.

composite    Several observers of a study as one.
console      What a person sees while a study runs: a live table on a terminal, else a line per
             epoch.
links        Where a running study can be watched, and with which command.
mlflow       Runs of MLflow: an experiment per study, in it a run per arm that holds those of its
             trials.
prometheus   Each trial's latest numbers as gauges of Ray, which Prometheus scrapes from every
             node.
tensorboard  Event files for TensorBoard in `tensorboard/<trial>/` of a study's folder: one run per
             trial.
trackers     The tracking tools that a study can be logged to, by name.
tracked      A trial as a tracking tool's run is made of it, read from the tables.
tracking     A study's trials as runs of a tracking tool: TensorBoard, MLflow, Weights & Biases.
wandb        Runs of Weights & Biases: a run per trial, in the group of its arm.
webhook      A message to a webhook when a study ends, as Slack and its relatives take it.
"""
