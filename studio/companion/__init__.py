"""The companion's pages, on the designer's own machine."""
