"""One run of a study at a time: two would train the same trials into the same files.

conditional  Writes to an object store that are made only where nobody else has written meanwhile.
holders      Who holds a study: how a run is named, for people and for other runs.
lease        A study that is kept in an object store, held by a run.
one_run      Hold a study for as long as this process runs it.
"""

from segtune.execution.lock.holders import AlreadyRunning
from segtune.execution.lock.one_run import only_run

__all__ = ["AlreadyRunning", "only_run"]
