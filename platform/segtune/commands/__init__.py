"""The commands of `segtune`: one module each, with HELP, `arguments(parser)` and
`run(args, console)`.

All of them are imported for `segtune --help`: what is slow to import (torch, Ray, segcore) is
imported within `run`.
"""
