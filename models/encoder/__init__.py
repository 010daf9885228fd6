from models.encoder.encoder import Encoder, EncoderLoadError, load_encoder
from models.encoder.onnx_graph import export_onnx

__all__ = ["Encoder", "EncoderLoadError", "export_onnx", "load_encoder"]
