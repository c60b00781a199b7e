"""When and from what bases are computed, and what is kept of gradients until then.

attachment  hooks that free gradients during the backward pass, and marks for a `GradScaler`
current     refresh_from="current": bases from this step's gradients, which stay until the step
moments     moments kept, rotated or reset at a refresh
previous    refresh_from="previous": gradients projected, sketched, freed; bases for the next step
schedule    when a basis is due, staggering
strategies  both strategies side by side: receive, refresh, gradients, clip, sum over ranks
strategy    what a strategy decides
"""
