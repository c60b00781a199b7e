"""Whether what lies on a disk can be read, and is what segtune wrote.

columns        Whether a file of a table holds what a table of segtune's does.
damage         What is lost of a study: damaged files, and finished trials without scores.
parquet_files  Files of tables, read so that a damaged one is told from the others.
study_form     What `study.json` holds, as far as it is read: fields and their types.
"""
