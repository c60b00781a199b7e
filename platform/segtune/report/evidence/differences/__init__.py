"""Differences between arms: estimated, tested, and said in words.

compare      Every arm against the baseline, seed by seed and patient by patient.
conclusions  Differences to the baseline as sentences.
margins      Against a margin: whether an arm is as good as the baseline, or no worse.
verdicts     What the tests say of each arm beside all others.
"""
