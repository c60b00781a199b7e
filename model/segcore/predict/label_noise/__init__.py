"""How much two annotators disagree: truth against truth that somebody else might have drawn.

annotators  Who else draws: outlines shifted, lines drawn anew, or masks that somebody did draw.
perturb     Labels and lines as a second annotator may draw them, by generators that are seeded.
score       What a second annotator scores under the metrics of a study.
"""
