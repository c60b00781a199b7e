"""A study as a job of a cluster.

connect  Connect to the jobs of a Ray cluster, or say in one message why that fails.
job      A study as a job: submit, follow, stop and find it.
request  A study to be run on a cluster, checked before anything is sent there.
upload   The archive that a job takes along: the installed segtune, and the study's file.
"""
