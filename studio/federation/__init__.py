"""The federation's tab and the operator's panel."""
