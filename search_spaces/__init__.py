"""Named studies: one file each, with a function `study()`. A file's name is its study's."""
