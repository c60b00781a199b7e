"""Losses by name.

dice_ce         Dice + cross-entropy on masks, by MONAI.
loss            What every loss offers: a mean over samples.
query_matching  Mask2Former's loss of queries that are matched with objects, by transformers.
structure       Cross-entropy and IoU that weigh borders more (F3Net, SAM2-UNet).
"""

from segcore.tables import Table

LOSSES = Table("LOSSES", "segcore.losses", "loss")
LOSSES.add("dice_ce", "segcore.losses.dice_ce:DiceCe", "soft Dice and cross-entropy, by MONAI")
LOSSES.add(
    "query_matching",
    "segcore.losses.query_matching:QueryMatching",
    "queries matched with objects, as in Mask2Former, by transformers",
)
LOSSES.add(
    "structure",
    "segcore.losses.structure:Structure",
    "cross-entropy and IoU that weigh borders more, as in F3Net and SAM2-UNet",
)
