"""Orthonormal bases of the leading singular space of a gradient.

gram          leading singular vectors through a Gram matrix, for devices whose SVD is a loop
orthonormal   orthonormal columns: Householder, Cholesky
published     the published code's variant
range_finder  `range_finder`: sketch, warm start, power iterations, truncation
sketch        the random operators, and the two ways to apply the SRFT
"""
