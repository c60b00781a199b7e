"""`python -m segtune` is `segtune`."""

from segtune.cli import main

raise SystemExit(main())
