"""A study as a job of a Ray cluster: what is uploaded, the cluster it goes to, the job itself."""
