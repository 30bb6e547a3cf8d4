"""What runs, in which order, with which settings; the command line."""
