"""Losses by name.

at_target       Logits and target as a loss of masks compares them: of one size, in float32, pixels
                that nobody knows made such that they teach nothing.
boundary        Distances to the border beside Dice and cross-entropy (Kervadec et al., arXiv
                1812.07032), by MONAI: for small structures, of which a far false alarm costs Dice
                no more than a near one.
cl_dice         Dice of masks and of their centrelines (clDice, Shit et al., arXiv 2003.07311), by
                MONAI: for thin structures, of which a gap costs little overlap and the whole of the
                line.
class_weights   Weights of classes by name, as a loss counts pixels by them.
dice_ce         Dice + cross-entropy on masks.
focal           Focal cross-entropy (Lin et al., arXiv 1708.02002) and Dice, by MONAI.
loss            What every loss offers: a mean over samples.
query_matching  Mask2Former's loss of queries that are matched with objects, by transformers.
soft_dice       Soft Dice, as MONAI computes it.
structure       Cross-entropy and IoU that weigh borders more (F3Net, SAM2-UNet).
tversky         Tversky's index and cross-entropy (Salehi et al., arXiv 1706.05721; its focal form,
                Abraham and Khan, arXiv 1810.07842), by MONAI: for structures that a network rather
                misses than makes up.
"""

from segcore.tables import Table

LOSSES = Table("LOSSES", "segcore.losses", "loss")
LOSSES.add("dice_ce", "segcore.losses.dice_ce:DiceCe", "soft Dice and cross-entropy")
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
LOSSES.add("tversky", "segcore.losses.tversky:Tversky", "misses weigh more than false alarms")
LOSSES.add("focal", "segcore.losses.focal:Focal", "focal cross-entropy and Dice")
LOSSES.add("cl_dice", "segcore.losses.cl_dice:ClDice", "Dice of masks and of their centrelines")
LOSSES.add(
    "boundary",
    "segcore.losses.boundary:Boundary",
    "distances to the true border, beside Dice and cross-entropy",
)
