"""WEFT's system: wavelet experts guide a frozen vision transformer.

adapter     What is injected between the transformer's stages, and how it is renewed.
deformable  Multi-scale deformable attention in plain torch.
experts     The pyramid beside the transformer, its wavelet experts and their router.
head        Mask2Former's head, and the classes' logits from its queries.
network     Transformer, pyramid, adapter and head: the system.
spatial     SEE: edges and convolutions inside of a feed-forward layer.
subspace    ESTO: tokens and those like them, more so at boundaries.
wavelet     Haar's wavelet transform, and convolutions of its sub-bands.
"""
