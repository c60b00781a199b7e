"""Which reading of SRFT-GaLore one runs: the paper's, its code's, our own.

Presets: `segcore.presets.srft_galore`.
"""
