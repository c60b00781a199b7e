"""Losses by name.

dice_ce  Dice + cross-entropy on masks, by MONAI.
loss     What every loss offers: a mean over samples.
"""

from segcore.tables import Table

LOSSES = Table("LOSSES", "segcore.losses", "loss")
LOSSES.add("dice_ce", "segcore.losses.dice_ce:DiceCe", "soft Dice and cross-entropy, by MONAI")
