"""One trial: what Tune runs for it, its processes, its checkpoints and rows.

checkpoint_writer   Writes checkpoints of a trial in a thread, while the trial trains on.
checkpoints         Checkpoints of a trial: `train/<trial>/epoch-<n>`, the newest one only.
distributed         A trial as a Ray Train run of one or more workers, driven by a Tune trial.
job                 A trial to be trained, as it is handed from process to process.
recorder            Turns a training's evaluations into rows of the tables, and writes them at once.
subprocess_trainer  A training on CPUs in a process of its own, forked from one that has imported
                    everything.
trainable           A trial of a study as Ray Tune runs it: a Ray Train run, or a process of its
                    own.
trial_log           What a trial's training printed: `train/<trial>/log.txt`.
utilisation         How much of a machine a training uses: its CPUs, and the GPU that it was given.
worker              What one worker of a training does: train, keep checkpoints, write the tables.
"""
