"""Ray: run what is left of a study; one worker's loop, in a process or under Ray Train.

duplicate_arms  Arms whose configuration differs and whose training does not: a switch that
                changes nothing.
estimate        What a study would cost, before it runs: counted where it can be counted, else
                from its tables.
launch          Trainings of a study in Ray Tune: those of a list, or those that a search suggests.
lock/           One run of a study at a time: two would train the same trials into the same files.
order           A study that is to be run: how, which part of it, and whether anything is wrong or
                left.
preflight       Check what a run depends on before anything starts: study, storage, data and
                weights.
ray_cluster     A connection to Ray: the cluster at hand, or one started on this machine.
relay           Passes Tune's events on to the observer, and records trials whose driver died.
repair          Before a study goes on: what is lost is made ready to be trained again.
resources       How a study runs, and whether there is enough for it.
runner          Run a study: what is left of it, through Ray Tune, until every trial is done.
stages          The trials of a study: all at once, or look by look where seeds are added.
training/       One trial: what Tune runs for it, its processes, its checkpoints and rows.
"""
