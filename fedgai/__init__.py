"""FedGAI: designers exchange style, never drawings (arXiv 2503.12389). The model, usable alone as a library."""

__version__ = "0.2.0"
