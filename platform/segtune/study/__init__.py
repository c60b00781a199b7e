"""What a study is, and every mistake in it. Knows no storage, no Ray and no torch.

arms             Arms of an ablation, made from factors: dotted fields and their values.
catalog          Find a study: by its name in `search_spaces/`, or in a user's own file.
costs            What a trial cost, as numbers that a search can minimize or limit.
definition       The definition of a study as plain values, and whether a later one is the same
                 study grown.
money            Amounts of money with their currency, and budgets.
overrides        Change a configuration by dotted fields, lay it out flat, and name what it
                 computes.
part             Part of an ablation: some of its arms, some of its seeds.
plugins          A user's file whose classes a study uses: loaded here, and wherever its trials run.
rates            Learning rates that are far from the head's: mostly a method's own, on a preset of
                 another scale.
samplers         Optuna's samplers, by name.
scores           What a training is scored with, as its configuration says it: names, directions,
                 units.
sequential       Seeds where they are needed: arms whose verdict is open go on.
space            What a search may draw: distributions over dotted fields, some of which depend on
                 others.
spec             What a study is: frozen values, no machine and no clock in them.
stopping         When a search stops a trial early, as values. Ray's schedulers are made of them
                 in `schedulers.py`.
trial            One training of a study: a complete frozen value, with its name and its place in
                 the study.
validate         Look a study over before anything starts: every mistake at once.
validate_search  Every mistake in a search, at once.
yaml_file        A study as a YAML file: the same fields as in Python, read and checked by
                 pydantic.
"""
