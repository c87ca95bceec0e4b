"""Studies: grids of training runs, and the report that compares them."""
