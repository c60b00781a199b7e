"""Crossed random effects: what seeds and patients together say of a difference.

difference  A difference that should show again with other seeds and other patients.
two_way     Tests of a mean over seeds and patients, for many studies at once: the verdict's rule.
"""

from segtune.report.evidence.crossed.difference import Crossed, crossed, over_both

__all__ = ["Crossed", "crossed", "over_both"]
