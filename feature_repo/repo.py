"""The one module Feast scans: it would import the others under second names and find twins.

`INTENT_LAKE`, or `INTENT_STATE` with the lake in it, says where the tables are.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from feature_repo.definitions.objects import feast_objects  # noqa: E402
from feature_repo.definitions.schemas import ensure_tables  # noqa: E402

_state = Path(os.environ.get("INTENT_STATE") or ROOT / ".state").expanduser()
_lake = Path(os.environ.get("INTENT_LAKE") or _state / "lake").expanduser().absolute()

ensure_tables(_lake)
globals().update({f"{type(o).__name__}_{o.name}": o for o in feast_objects(_lake)})
