"""Who talks to whom: the Flower app, the strategy, the host behind the studio, and the one door into it."""
