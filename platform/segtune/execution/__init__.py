"""Ray: run what is left of a study; one worker's loop, in a process or under Ray Train.

checkpoints         Checkpoints of a trial: `train/<trial>/epoch-<n>`, the newest one only.
distributed         A trial of several workers: a Ray Train run, driven by a Tune trial.
duplicate_arms      Arms whose configuration differs and whose training does not: a switch that
                    changes nothing.
estimate            What a study would cost, before it runs: counted where it can be counted, else
                    from its tables.
job                 A trial to be trained, as it is handed from process to process.
lock/               One run of a study at a time: two would train the same trials into the same
                    files.
order               A study that is to be run: how, which part of it, and whether anything is
                    wrong or left.
preflight           Check what a run depends on before anything starts: study, storage, data and
                    weights.
ray_cluster         A connection to Ray: the cluster at hand, or one started on this machine.
recorder            Turns a training's evaluations into rows of the tables, and writes them at once.
relay               Passes Tune's events on to the observer, and records trials whose driver died.
repair              Before a study goes on: what is lost is made ready to be trained again.
resources           How a study runs, and whether there is enough for it.
runner              Run a study: what is left of it, through Ray Tune, until every trial is done.
stages              The trials of a study: all at once, or look by look where seeds are added.
subprocess_trainer  A training on CPUs in a process of its own, forked from one that has imported
                    everything.
trainable           A trial of a study as Ray Tune runs it: a Ray Train run, or a process
                    of its own.
trial_log           What a trial's training printed: `train/<trial>/log.txt`.
utilisation         How much of a machine a training uses: its CPUs, and the GPU that it was
                    given.
worker              What one worker of a training does: train, keep checkpoints, write the tables.
"""
