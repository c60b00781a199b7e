"""SRFT-GaLore's system: SAM2 for RGB, Depth Anything V2 for depth, fused by cross-attention.

decoder        A light decoder after ESANet (Seichter et al., arXiv 2011.06961).
depth_encoder  Depth Anything V2's encoder (Yang et al., arXiv 2406.09414): a DINOv2 vision
               transformer.
fusion         Where depth meets RGB.
network        The dual encoder of SRFT-GaLore: SAM2 sees the image, Depth Anything V2 the depth,
               a light decoder draws the classes.
"""
