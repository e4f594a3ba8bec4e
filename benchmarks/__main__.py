"""All benchmarks that need no GPU: ``python -m benchmarks``. Short: it only starts the others."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.report import RESULTS

BENCHMARKS = ("media", "long", "pipeline", "judging", "page")
_EPILOG = """examples:
  python -m benchmarks                    everything; about half an hour on two cores
  python -m benchmarks --quick            a few small clips: does it all still run?
  python -m benchmarks --only pipeline    from file to caption alone
  python -m benchmarks.gpu --help         the measurement on a GPU, which is not part of this

exit codes:
  0  everything was measured; the tables are in the folder that --out names
  1  something could not be measured, or ways to be compared did different work
  2  no such option
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks; return an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this project against other ways, side by side on this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small and once; no figures to quote")
    parser.add_argument("--only", choices=BENCHMARKS, help="one of them")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where tables go (%(default)s)")
    options = parser.parse_args(arguments)
    failed = False
    for name in (options.only,) if options.only else BENCHMARKS:
        try:
            benchmark = import_module(f"benchmarks.{name}")
            benchmark.main(["--quick"] if options.quick else [], options.out)
        except Exception as error:  # the others are measured all the same
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
