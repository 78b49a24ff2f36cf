"""What is measured on the tasks: `suites/` declares the runs, and `records/` holds their results."""
