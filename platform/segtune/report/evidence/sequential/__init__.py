"""Verdicts that are looked at several times, as seeds are added.

bounds  What looking several times costs: levels at which each look may be called significant.
looks   Which arms go on after a look: those whose verdict is open and may still be reached.
"""
