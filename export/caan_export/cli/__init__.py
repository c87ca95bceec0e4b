"""`caan-export`."""
