"""What thinking is worth: tasks, their units, intervals, the report."""
