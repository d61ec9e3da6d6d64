"""Questions to the method that take more than a test, each answered by one command and a page in docs/."""
