"""What each kernel of linear layers costs on this CPU, and what rounding does to predictions."""
