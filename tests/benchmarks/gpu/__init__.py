"""What trainings and optimizers ask of a GPU, counted without one, and measured where one is.

step_counts       A training step of `paper`: operators, casts, waits, copies, FLOPs, bytes, and an
                  estimate of its time.
optimizer_counts  The optimizer alone, by projector.
evaluation        An evaluation on the GPU that is there, by the threads that score its masks.
measured          Steps, epochs, evaluations, predictions and optimizers on the GPU that is there.
variants          A step there, by how it is launched and what its kernels are chosen from.
"""
