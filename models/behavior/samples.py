"""What a release carries to show that its exported models answer as those that were trained."""

import msgspec

SAMPLES = "samples.json"
ONNX_TOLERANCE = 1e-5


class SampleRows(msgspec.Struct, frozen=True):
    """Made-up inputs and the raw probabilities the trained models gave, before any export."""

    inputs: list[list[float]]
    expected: dict[str, list[float]]
