"""What may happen to training samples: functions that `Augment` calls, and further rows by name.

geometry   What moves image, depth, labels and unknown pixels together.
light      What changes the image alone: colour, reflections, blur, noise.
smoke      Smoke of electrosurgery: a grey veil of uneven density over the image.
transform  What every further transform offers: a sample in, a sample out, its own generator.

Draws come from a generator of the sample's own; what is done is done on tensors, mostly by
torchvision (v2), and draws nothing.
"""

from segcore.tables import Table

LARGEST_SHIFT = 0.04
"""Of an elastic deformation, share of the image's shorter side. Each derivative of the shift stays
below `geometry.STEEPEST` x (`geometry.POINTS` - 1) x 0.04 = 0.495, so that the determinant is
positive: nothing folds over."""
TRANSFORMS = Table("TRANSFORMS", "segcore.transforms", "transform")
TRANSFORMS.add("smoke", "segcore.transforms.smoke:Smoke", "a grey veil of uneven density")
