"""How well optimizers train small models, each at its own best rate.

tasks      The trainings: a language model, a regression of a steep spectrum, a ViT.
language   Text with structure, made from a seed.
pictures   Pictures of shapes, rendered from a seed.
networks   The models.
arms       The optimizers that are compared.
peers      Other people's optimizers, as they are built to be compared.
variants   Variants of ours that are no part of it.
plan       Which runs there are, which come first, and how a rate is chosen.
runs       Trainings in many processes, to a file of JSON lines.
tables     Scores with intervals, and verdicts.
"""
