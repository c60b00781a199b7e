"""`segtune bundle` and `segtune verify`: a study's evidence in one file, and whether it holds.

archive   The file itself: a zip that is written the same from the same results, and read with care.
bundle    `segtune bundle`: tables, definition, origin, hashes and claims of a study in one file.
check     What of a bundle does not hold: files, rows and claims, each by its name.
claims    What a study's report says, as named values.
manifest  The list of what a bundle holds: files, rows, claims, and the software that wrote it.
retrain   Trials of a bundle trained again, and whether their scores come out the same.
rows      A hash of every row of a table, and a row's name in words.
verify    `segtune verify`: whether what a bundle says of itself is so.
"""
