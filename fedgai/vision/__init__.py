"""Pictures in: decoding, cutting out, edges, scanned sheets."""
