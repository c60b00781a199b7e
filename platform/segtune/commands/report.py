"""`segtune report`: one HTML file about studies that were run."""

import argparse
from pathlib import Path

from rich.console import Console

from segtune.as_json import json_argument, print_json
from segtune.commands.shared import path, storage_argument

HELP = "write one HTML file about studies that were run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Studies, where their results lie, and where the report goes."""
    parser.add_argument("study", nargs="+", metavar="STUDY", help="the name that it was run under")
    storage_argument(parser)
    parser.add_argument("--out", type=path, help="the HTML file; default: STUDY-report.html")
    parser.add_argument(
        "--tables",
        type=path,
        help="folder for tables as CSV, Markdown and LaTeX and for figures as SVG, PDF and PNG",
    )
    parser.add_argument(
        "--separate",
        action="store_true",
        help="several studies side by side, uncompared: comparing unlike ones is refused",
    )
    parser.add_argument(
        "--across",
        action="store_true",
        help="the studies have the same arms on several data sets: first what holds over these",
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="show the report on this machine while the study runs, until Ctrl-C; writes no file",
    )
    json_argument(parser)
    parser.add_argument("--port", type=int, default=0, help="of --serve; default: a free one")


def run(args: argparse.Namespace, console: Console) -> int:
    """Build the report and say where it is."""
    from segtune.report import build
    from segtune.report.build import Beside
    from segtune.report.serve import serve

    if args.across and (args.separate or len(set(args.study)) < 2):
        raise ValueError("--across is for two or more studies, and leaves out --separate")
    if args.json:
        from segtune.commands.bundling.claims import claims

        if args.serve or args.out or args.tables or args.across or args.separate:
            raise ValueError("--json writes no report: leave out the report's other options")
        print_json({study: claims(args.storage, study) for study in args.study})
        return 0
    beside: Beside = "across" if args.across else "separate" if args.separate else "compared"
    if args.serve:
        if args.out or args.tables:
            raise ValueError("--serve writes no file: leave out --out and --tables, or --serve")
        serve(
            args.storage,
            args.study,
            port=args.port,
            beside=beside,
            tell=lambda text: console.print(text, highlight=False),
        )
        return 0
    if args.port:
        raise ValueError("--port belongs to --serve: add --serve, or leave it out")
    out = args.out or Path(f"{args.study[0]}-report.html")
    written = build(
        args.storage,
        args.study,
        out,
        args.tables,
        figures=args.tables,
        beside=beside,
        tell=lambda text: console.print(text, highlight=False),
    )
    console.print(f"The report is in {written.absolute()}", highlight=False)
    return 0
