from models.text.segmentation import Segmenter, load_segmenter

__all__ = ["Segmenter", "load_segmenter"]
