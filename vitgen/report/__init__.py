"""Reports: what a build leaves as figures (``report.json``), on the terminal and as a page."""
