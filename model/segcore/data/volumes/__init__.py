"""Volumes, whose axial slices are what a network sees.

labels         Which labels each slice of a volume holds, found once and kept.
nifti          NIfTI files: their geometry from the header, their slices one by one.
volume_folder  A data set that is a folder of volumes with labels, checked whole.
"""
