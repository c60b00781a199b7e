"""SRFT-GaLore's system: an encoder of images and one of depth, fused by cross-attention.

decoder  A light decoder after ESANet (Seichter et al., arXiv 2011.06961).
fusion   Where depth meets RGB.
network  The dual encoder of SRFT-GaLore: one encoder sees the image, another one the depth, a light
         decoder draws the classes.
"""
