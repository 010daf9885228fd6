"""Great Expectations gates: what must hold before a table is published."""

import os

# Read by Great Expectations when it is imported, which only modules of this package do.
os.environ["GX_ANALYTICS_ENABLED"] = "False"
