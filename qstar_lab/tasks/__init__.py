"""Tasks whose text needs serial work. No torch."""
