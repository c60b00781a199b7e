"""The commands of `segtune`: one module each, with HELP, `arguments(parser)` and
`run(args, console)`.

bundling/ `segtune bundle` and `segtune verify`: a study's evidence in one file.
datasets/ `segtune data`: what a data set holds, and what is made of it.
doctor   `segtune doctor`: whether this machine has what a study needs, and what to do where not.
exchange/ `segtune export`, `publish` and `weights`: networks out, weights in.
logs     `segtune logs`: what a trial's training printed.
names    `segtune list`: what there is to choose from.
one_study One study of a `segtune run`: looked over, trained, and what is told at its end.
pairs    Which methods and data sets go with which system, for `segtune list`.
planning/ `segtune plan`: seeds and patients that a study's verdict takes, and what they cost.
predict  `segtune predict`: masks, overlays and contours of images and videos from a checkpoint.
report   `segtune report`: one HTML file about studies that were run.
run      `segtune run`: train what is left of a study, or of several.
scoring/ `segtune evaluate`: a trained network, or masks from elsewhere, scored on any data set.
shared   Arguments that several commands take, and what they mean.
show     `segtune show`: what a study would run, and what it would cost.
status   `segtune status`: where a study stands, from its tables; where a job stands, from its
         cluster.
stop     `segtune stop`: end a job.
submit   `segtune submit`: run a study as a job of a Ray cluster.
sync     `segtune sync`: a study that has run, brought to a tracking tool.
"""
