"""What a parameter group may say.

A group of either kind takes "lr", "betas", "eps" and "weight_decay", and "rounding" for bfloat16
weights: "nearest" or "stochastic" ("nearest"); see `rounding`. A group with "rank" is projected and
takes these keys too, in GaLore's own words where it has them; defaults are in brackets:

- "rank": columns of the basis, clamped to the smaller dimension, where the projection only rotates.
- "update_proj_gap": steps between refreshes of the basis (200). The bases are due at steps 0, gap,
  2 gap, ...
- "scale": factor of the update (1.0).
- "projector": "srft", "svd", "gaussian", "identity" or "srft_published" ("srft"); see
  `range_finder`.
- "side": "short", "left", "right" or "input" ("short", which is the right one where M >= N); see
  `projection`.
- "blocks": equal blocks of rows that have a basis each (1); 3 for a fused qkv weight.
- "oversample", "power_iterations", "seed": of `range_finder` (0, 0, 0). Each refresh has a seed of
  its own, derived from the group's seed and the number of refreshes before: equal on all ranks, and
  untouched by torch's global random state.
- "sketch": "shared" or "per_weight" ("shared"): whether weights of one shape that are refreshed
  together share the random matrix, which is then drawn once, or have one each.
- "signs": "aligned" or "free" ("aligned"), of "svd": whether a new singular vector points where the
  old one in its place did. A decomposition leaves signs open, and moments that are kept would
  change theirs.
- "start": "cold" or "warm" ("cold"): whether a refresh starts from the old basis, with "oversample"
  random columns beside it.
- "stagger": whether the parameters of the group take turns (False), so that the cost of the
  refreshes is spread evenly over the interval. At step 0 all have their first.
- "moments": "keep", "rotate" or "reset" ("keep", GaLore's way); see `moments.change_basis`.
- "refresh_from": "current" or "previous" ("current", GaLore's way): which step's gradient the basis
  of a step comes from. With "previous" a gradient is looked at once: it is projected, and sketched
  where the next step is to have a new basis, and freed (`grad` is then None). Both are linear in
  the gradient, so microbatches (`attach`) and ranks (`reduce`) add up. The first step then has no
  basis: it moves the plain parameters and looks for the first bases.
- "residual": "drop" or "sign" ("drop", GaLore's way): what a step does with the gradient
  outside of the subspace, without a state of its own; see `update.residual`.

Keys of others (a scheduler's, timm's "lr_scale") stay in the group untouched, as in torch's own
optimizers. What looks like a slip in one of the above, or is a key of another GaLore or of APOLLO,
is refused, at the start and where it is added later.
"""

from collections.abc import Mapping
from typing import Any

from srft_galore.projection import SIDES

ADAM_KEYS = ("lr", "betas", "eps", "weight_decay")
PROJECTION_DEFAULTS: Mapping[str, Any] = {
    "update_proj_gap": 200,
    "scale": 1.0,
    "projector": "srft",
    "side": "short",
    "blocks": 1,
    "sketch": "shared",
    "signs": "aligned",
    "start": "cold",
    "oversample": 0,
    "power_iterations": 0,
    "refresh_from": "current",
    "stagger": False,
    "moments": "keep",
    "residual": "drop",
    "seed": 0,
}
"""Keys, beside "rank", of a group that is projected, and what they are where not given."""
OPTIONS = (*ADAM_KEYS, "rounding", "rank", *PROJECTION_DEFAULTS)
"""All that are ours."""
RECOMMENDED: Mapping[str, Any] = {
    "update_proj_gap": 5,
    "start": "warm",
    "oversample": 8,
    "moments": "rotate",
}
"""Options that measured better than GaLore's or as well, on all that was tried (README, "Which
options pay"). They are not the defaults: `{"params": ..., "rank": 32, **RECOMMENDED}`."""
CHOICES = {
    "side": SIDES,
    "sketch": ("shared", "per_weight"),
    "signs": ("aligned", "free"),
    "start": ("cold", "warm"),
    "refresh_from": ("current", "previous"),
    "moments": ("keep", "rotate", "reset"),
    "residual": ("drop", "sign"),
    "stagger": (False, True),
}
"""Of the options that are one of a few."""
