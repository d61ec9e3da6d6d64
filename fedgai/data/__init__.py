"""A designer's folder, and what becomes of it: pairs, scans, public collections."""
