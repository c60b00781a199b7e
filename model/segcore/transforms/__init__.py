"""What may happen to training samples: functions that `Augment` calls, and further rows by name.

geometry   What moves image, depth, labels and unknown pixels together.
light      What changes the image alone: colour, reflections, blur, noise.
smoke      Smoke of electrosurgery: a grey veil of uneven density over the image.
transform  What every further transform offers: a sample in, a sample out, its own generator.

Draws come from a generator of the sample's own; what is done is done on tensors, mostly by
torchvision (v2), and draws nothing.
"""

from segcore.tables import Table

TRANSFORMS = Table("TRANSFORMS", "segcore.transforms", "transform")
TRANSFORMS.add("smoke", "segcore.transforms.smoke:Smoke", "a grey veil of uneven density")
