"""Look over what a study needs of this machine, and say what to do where it is not there."""

from segtune.doctor.examine import examine
from segtune.doctor.finding import Finding

__all__ = ["Finding", "examine"]
