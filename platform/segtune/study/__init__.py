"""What a study is, and every mistake in it. Knows no storage, no Ray and no torch.

arms             Arms of an ablation, made from factors: dotted fields and their values.
catalog          Find a study: by its name in `search_spaces/`, or in a user's own file.
costs            What a trial cost, as numbers that a search can minimize or limit.
definition       The definition of a study as plain values, and whether a later one is the same
                 study grown.
overrides        Change a configuration by dotted fields, flatten it, and hash what it computes.
samplers         Optuna's samplers, by name.
space            What a search may draw: distributions over dotted fields, some of which depend on
                 others.
spec             What a study is: frozen values that depend on no machine and no clock.
stopping         When a search stops a trial early. `segtune.search.schedulers` makes Ray's
                 schedulers of these values.
validate         Find every mistake in a study before anything starts.
validate_search  Find every mistake in a search.
"""
