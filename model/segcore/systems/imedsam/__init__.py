"""I-MedSAM: SAM with adapters for frequencies and an implicit field that decodes at any size.

coordinates  Where a point of the mask lies, as a network is told it.
drawing      The masks of an image, drawn by asking the field at every point of them.
field        The implicit field: a point's coordinates and features in, its logits out, coarse and
             fine.
frequency    High frequencies of the image, brought into every block of the encoder.
network      SAM, adapters and field: the system.
uncertainty  How unsure the coarse field is of a point, and which points the fine field looks at.
"""
