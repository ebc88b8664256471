"""What an evaluation writes: summary, report, plots and contact sheets."""
