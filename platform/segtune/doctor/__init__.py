"""Whether this machine, and a cluster, have what a study needs.

cluster    What lies between this machine and a Ray cluster: ports, token, address, other
           instances.
examine    Every check, with what it reads from this machine.
finding    What a check found.
machine    Memory and CPUs, as a study's processes will find them.
processes  Processes of this machine, as Linux lists them under `/proc`.
software   Python and the packages: versions against what segtune asks for and was tested with.
storage    The folder of the results: can tables be written there as segtune writes them?
"""

from segtune.doctor.examine import examine
from segtune.doctor.finding import Finding

__all__ = ["Finding", "examine"]
