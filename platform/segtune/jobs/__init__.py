"""A study as a job of a cluster.

connect  Reach the jobs of a Ray cluster, or say in one message what is in the way.
job      A study as a job: submit it, follow it, stop it, find it again.
request  A study as it is to run on a cluster, looked over before anything is sent there.
upload   What a job brings along: segtune as it is installed here, and the study's file, in one
         archive.
"""
