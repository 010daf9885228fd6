"""`python -m tests.chaos --kills 100 --seed 7`, which is `make chaos`: one JSON object, exit 1 if it shows
a mismatch."""

import argparse
import sys

from orchestration.environment import confine

confine()

import msgspec  # noqa: E402

from tests.chaos.storm import storm  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kill anything, then count.")
    parser.add_argument("--kills", type=int, default=100, help="the last four all at once")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    report = storm(given.kills, given.seed, given.clients)
    print(msgspec.json.format(msgspec.json.encode(report)).decode())
    sys.exit(report.mismatches > 0)


if __name__ == "__main__":
    main()
