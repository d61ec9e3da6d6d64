"""Virtual designers, who draw from photographs alone."""
